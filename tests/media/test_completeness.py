"""Films that are shorter than they say, or become so while they are read: always said, never silent."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.errors import InputError, OutputError
from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.completeness import Gaps, Witness
from lipt_stream.media.containers import open_film, refuse_address
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.remux import StreamCopy
from lipt_stream.media.timeline import Cut
from tests.film import flat_picture

WriteFilm = Callable[..., object]


def read_all(path: Path) -> tuple[int, list[str]]:
    source = FileSource(path)
    count = count_rest(source)
    source.close()
    return count, source.notes


def count_rest(source: FileSource) -> int:
    planes = source.format.new_planes()
    return sum(1 for _ in iter(lambda: source.read(planes), END))


@given(lost=st.lists(st.integers(2, 48), min_size=1, max_size=8, unique=True), frame=st.sampled_from([40, 3600, 1001]))
def test_every_gap_of_a_steady_film_is_counted(lost: list[int], frame: int) -> None:
    gaps = Gaps(Fraction(frame))
    for index in range(50):
        if index not in lost:
            gaps.saw(index * frame)
    runs = sum(1 for index in lost if index + 1 not in lost)
    inner = [index for index in lost if index != 49]
    assert len(inner) == len(lost)
    assert gaps.note is not None
    assert f"{runs} gap" in gaps.note
    assert f"about {len(lost)} are missing" in gaps.note


@given(steps=st.lists(st.integers(100, 40_000), min_size=20, max_size=60))
def test_a_film_of_varying_rate_has_no_gaps(steps: list[int]) -> None:
    gaps = Gaps(Fraction(3600))
    time = 0
    for step in [*steps, *([500] * len(steps))]:
        gaps.saw(time)
        time += step
    assert gaps.note is None


def test_a_hole_in_matroska_is_said(write_film: WriteFilm, tmp_path: Path) -> None:
    """FFmpeg goes over it without an error."""
    times = [3600 * n for n in range(30) if n not in (11, 12, 13)]
    write_film("hole.mkv", pts=times)
    count, notes = read_all(tmp_path / "hole.mkv")
    assert count == 27
    assert "the source has 1 gap in otherwise steady pictures: about 3 are missing there" in notes


def test_pictures_that_an_edit_list_hides_are_not_missed(shared: Path) -> None:
    film = shared / "data/video/torture/dolbyvision_hdr.mov"  # 5 pictures, of which its edit list shows 4
    count, notes = read_all(film)
    assert count == 4
    assert "the file holds 5 pictures, of which its edit list shows 4" in notes
    assert not [note for note in notes if "states" in note]
    count, notes = read_all(shared / "data/video/torture/SYN_truncated_flower_60pct.mp4")
    assert f"the file states 150 pictures, but only {count} could be read" in notes


def write_avi(path: Path, times: list[int]) -> Path:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for time in times:
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 99, np.uint8), "yuvj420p")
            picture.pts, picture.time_base = time, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def test_pictures_that_an_avi_repeats_are_not_missed(tmp_path: Path) -> None:
    """Recorders write an empty chunk where nothing moved. The times stay, and nothing is called missing."""
    film = write_avi(tmp_path / "still.avi", [n for n in range(40) if n % 2 or n < 4])
    count, notes = read_all(film)
    assert count == 22
    assert not [note for note in notes if "states" in note or "missing" in note]


def packed(film: Path, target: Path) -> Path:
    """As DivX wrote it: a B-picture in one chunk with the P before it, and then a chunk that says nothing is new."""
    with av.open(str(film)) as source, av.open(str(target), "w") as avi:
        stream = avi.add_stream_from_template(source.streams.video[0], opaque=True)
        pictures = [(bytes(packet), packet.is_keyframe) for packet in source.demux(video=0) if packet.size]
        data, key = pictures[0]
        start = data.find(b"\0\0\1\xb6")
        pictures[0] = (data[:start] + b"\0\0\1\xb2DivX503b1393p" + data[start:], key)
        for place, (data, _) in enumerate(pictures):
            if data[data.find(b"\0\0\1\xb6") + 4] >> 6 == 2:  # a B-picture
                pictures[place - 1 : place + 1] = [
                    (pictures[place - 1][0] + data, pictures[place - 1][1]),
                    (b"\0\0\1\xb6\x51\0", False),
                ]
        for number, (data, is_keyframe) in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = stream, is_keyframe
            packet.pts, packet.dts, packet.duration, packet.time_base = number, number, 1, Fraction(1, 25)
            avi.mux(packet)
    return target


@pytest.mark.parametrize(("codec", "is_packed"), [("mpeg4", False), ("mpeg4", True), ("libx264", False)])
def test_b_pictures_in_an_avi_come_a_tick_apart(tmp_path: Path, codec: str, is_packed: bool) -> None:
    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as target:
        stream = target.add_stream(codec, 25, options={"bf": "1" if is_packed else "3", "b_strategy": "0"})
        stream.width, stream.height = 64, 48
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 20 + 8 * number, np.uint8), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    if is_packed:
        film = packed(film, tmp_path / "packed.avi")
    with closing(FileSource(film)) as source:
        planes = source.format.new_planes()
        shown: list[tuple[int, int]] = []
        while isinstance(frame := source.read(planes), Frame):
            shown.append((frame.pts, int(planes[0].mean())))
    assert [pts - shown[0][0] for pts, _ in shown] == list(range(20))
    assert [luma for _, luma in shown] == pytest.approx([20 + 8 * number for number in range(20)], abs=6)


def test_an_avi_cut_short_is_said(tmp_path: Path) -> None:
    film = write_avi(tmp_path / "cut.avi", list(range(40)))
    os.truncate(film, film.stat().st_size // 2)
    count, notes = read_all(film)
    assert count < 40
    assert any(note.startswith("the file states 1.60 s of pictures, but they end at") for note in notes)


def test_a_repeated_timestamp_is_another_millisecond(tmp_path: Path) -> None:
    """A 90,000th of a second after its neighbour, Matroska would show both at the same time."""
    film = tmp_path / "twice.ts"
    with av.open(str(film), "w", format="mpegts") as target:
        stream = target.add_stream("mpeg2video", 25, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        packets = [packet for number in range(6) for packet in stream.encode(flat_picture(number))]
        for index, packet in enumerate([*packets, *stream.encode(None)]):
            packet.pts, packet.dts = [0, 1, 2, 2, 4, 5][index], index - 5
            target.mux(packet)
    source = FileSource(film)
    planes = source.format.new_planes()
    times = [frame.pts * source.format.time_base for frame in iter(lambda: source.read(planes), END)]
    source.close()
    assert len(times) == 6
    assert min(b - a for a, b in pairwise(times)) == Fraction(1, 1000)
    assert any("timestamps were missing or not increasing" in note for note in source.notes)


def test_a_matroska_film_cut_short_is_said(write_film: WriteFilm, tmp_path: Path) -> None:
    lossless = choose_encoder("ffv1", suffix=".mkv")  # pictures of equal size: half of the bytes is half of the film
    write_film("film.mkv", pts=[3600 * n for n in range(25)], encoder=lossless)
    film = tmp_path / "film.mkv"
    assert not any("states" in note for note in read_all(film)[1])
    os.truncate(film, film.stat().st_size // 2)
    count, notes = read_all(film)
    assert 8 < count < 17
    assert any(note.startswith("the file states 1.00 s of pictures, but they end at 0.") for note in notes)
    film.write_bytes(film.read_bytes().replace(b"DURATION", b"XXXXXXXX"))  # as those write it who know no such tag
    assert any(note.startswith("the file states 1.00 s, but its pictures end at 0.") for note in read_all(film)[1])


@pytest.mark.parametrize(("name", "codec"), [("a.flv", "flv"), ("a.rm", "rv20"), ("a.mxf", "mpeg2video")])
def test_a_film_whose_header_states_more_is_said(tmp_path: Path, name: str, codec: str) -> None:
    film, random = tmp_path / name, np.random.default_rng(2)
    with av.open(str(film), "w") as target:
        stream = target.add_stream(codec, 25)
        stream.width, stream.height, stream.bit_rate = 176, 144, 2_000_000
        for number in range(75):
            picture = av.VideoFrame.from_ndarray(random.integers(0, 255, (216, 176), np.uint8), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    assert not [note for note in read_all(film)[1] if "states" in note]
    os.truncate(film, film.stat().st_size // 2)
    assert [note for note in read_all(film)[1] if note.startswith("the file states 3.0")]


ENDS = {
    "a.ogv": ("libvpx", "yuv420p", "lacks its end mark"),
    "a.nut": ("ffv1", "yuv420p", "lacks its end mark"),
    "a.gif": ("gif", "rgb8", "lacks its end mark"),
    "a.apng": ("apng", "rgb24", "lacks its end mark"),
    "a.y4m": ("rawvideo", "yuv420p", "ends within a picture"),
    "a.dv": ("dvvideo", "yuv420p", "ends within a picture"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_film_that_lacks_its_end_is_said(tmp_path: Path, name: str) -> None:
    codec, pix_fmt, words = ENDS[name]
    film, random = tmp_path / name, np.random.default_rng(2)
    with av.open(str(film), "w", format="ogg" if name == "a.ogv" else None) as target:
        stream = target.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = (720, 576, pix_fmt) if name == "a.dv" else (64, 48, pix_fmt)
        for number in range(6):
            noise = random.integers(0, 255, (stream.height, stream.width, 3), np.uint8)
            picture = av.VideoFrame.from_ndarray(noise).reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    assert not [note for note in read_all(film)[1] if "end" in note]
    os.truncate(film, film.stat().st_size * 3 // 4 + 7)
    assert [note for note in read_all(film)[1] if words in note]


@pytest.mark.parametrize("name", ["film.mkv", "live.mkv", "film.mp4", "fragments.mp4"])
def test_a_file_that_lacks_even_its_last_bytes_is_said(tmp_path: Path, name: str) -> None:
    """Matroska's segment and MP4's boxes say how long they are."""
    options = {"film.mkv": {}, "live.mkv": {"live": "1"}, "film.mp4": {"movflags": "faststart"}}
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(tmp_path / name), "w", options=options.get(name, fragments)) as target:
        stream = target.add_stream("libx264", 25, options={"g": "4", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(12):
            target.mux(stream.encode(flat_picture(number)))
        target.mux(stream.encode(None))
    size = (tmp_path / name).stat().st_size
    assert not [note for note in read_all(tmp_path / name)[1] if "lacks" in note]
    with (tmp_path / name).open("ab") as film:
        film.write(b"something that follows it, as some programs leave it")
    assert not [note for note in read_all(tmp_path / name)[1] if "lacks" in note]
    os.truncate(tmp_path / name, size - 5)
    if name == "live.mkv":
        return  # which does not know its length
    assert "the file lacks its last 5 bytes: it was cut short" in read_all(tmp_path / name)[1]


def test_a_film_that_begins_within_a_group_of_pictures_is_said(write_film: WriteFilm, tmp_path: Path) -> None:
    write_film("whole.mkv", encoder=choose_encoder("libx264", options={"g": "5", "bf": "0"}))
    for dropped in (0, 3):
        with av.open(str(tmp_path / "whole.mkv")) as source, av.open(str(tmp_path / "cut.ts"), "w") as target:
            copied = target.add_stream_from_template(source.streams.video[0])
            for number, packet in enumerate(source.demux(video=0)):
                if packet.size and number >= dropped:
                    packet.stream = copied
                    target.mux(packet)
        pictures, notes = read_all(tmp_path / "cut.ts")
        said = [note for note in notes if "the beginning is cut off" in note]
        assert pictures == (10 if not dropped else 5)
        assert said == (
            ["2 packets before the first keyframe cannot be decoded: the beginning is cut off"] if dropped else []
        )


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_file_cut_while_it_is_read_is_an_error(write_film: WriteFilm, tmp_path: Path, suffix: str) -> None:
    large = VideoFormat(width=640, height=480, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))
    write_film(f"film{suffix}", large, pts=[3600 * n for n in range(60)])
    film = tmp_path / f"film{suffix}"
    source = FileSource(film, threads=1)
    source.read(source.format.new_planes())
    os.truncate(film, 4_000)
    with pytest.raises(InputError, match=r"was cut from \d+ to 4000 bytes while it was being read"):
        count_rest(source)
    source.close()


def test_a_file_deleted_while_it_is_read_is_read_to_its_end(write_film: WriteFilm, tmp_path: Path) -> None:
    write_film("film.mkv")
    source = FileSource(tmp_path / "film.mkv")
    (tmp_path / "film.mkv").unlink()
    assert count_rest(source) == 10
    source.close()


def test_a_growing_file_is_whole_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 0))
    witness = Witness(path)
    assert witness.confirm() is None
    with path.open("ab") as file:
        file.write(b"678")
    note = witness.confirm()
    assert note is not None
    assert "was written to while it was being read" in note
    witness.close()
    assert witness.confirm() is None


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:9/x.mp4", "http://127.0.0.1:9/x.mp4"),
        ("rtsp://user:secret@camera/live?token=secret", "rtsp://camera/live"),
        ("https:/example.org/a.mp4", "https://example.org/a.mp4"),
    ],
)
def test_addresses_are_refused_without_their_secrets(address: str, shown: str) -> None:
    with pytest.raises(InputError, match="only local files") as refusal:
        refuse_address(address)
    assert shown in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("name", ["C:/films/a.mp4", "a:b.mp4", "films/a.mp4", "/http:/a.mp4", ""])
def test_paths_are_no_addresses(name: str) -> None:
    refuse_address(name)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="a pipe or a device"):
        open_film(tmp_path / "pipe.mp4")


def test_sound_that_nothing_can_hold_is_left_out_only_when_asked(clip: Path, tmp_path: Path) -> None:
    """A codec that FFmpeg does not know fits no container, and nothing decodes it."""
    strange = tmp_path / "strange.mp4"
    strange.write_bytes(clip.read_bytes().replace(b"mp4a\x00\x00", b"zzzz\x00\x00").replace(b"esds", b"none"))
    for suffix in (".mp4", ".mkv"):
        with pytest.raises(
            OutputError, match=r"no decoder here .* cannot be copied\. Leave it out with --unfit drop\."
        ):
            StreamCopy(strange, tmp_path / f"x{suffix}", Cut(None, None))
        copy = StreamCopy(strange, tmp_path / f"x{suffix}", Cut(None, None), unfit="drop")
        copy.close()
        assert [note for note in copy.notes if "no decoder here" in note and "left out, as asked" in note]
