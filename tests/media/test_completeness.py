"""Films that are shorter than they say, or lack pictures: always said, never silent."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.media.completeness import Gaps
from lipt_stream.media.encoder_choice import choose_encoder
from tests.film import flat_picture
from tests.media.read_through import read_all

WriteFilm = Callable[..., object]


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
