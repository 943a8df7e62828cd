"""Films with a wrong timestamp among right ones, and parts that overlap: pictures stay with their sound."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.frame import END
from lipt_stream.media.file_source import FileSource
from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through, times

RATE = 48_000
ODD = 30  # of 50: the picture, in the order of the file, whose time is wrong
NOTE = "1 timestamps were missing or not increasing and were filled in"


def write_film(path: Path, codec: str, begin_seconds: Fraction = Fraction(0), late: Mapping[int, float] = {}) -> None:
    """Two seconds of pictures of which each is another, and of sound. H.264 with B-frames.

    `late`: the pictures, in the order of the file, that are to be shown so many seconds later.
    """
    sent = itertools.count()

    def mux(packets: list[av.Packet]) -> None:
        for packet in packets:
            packet.pts += round(late.get(next(sent), 0) / packet.time_base)
        target.mux(packets)

    with av.open(str(path), "w") as target:
        options = {"bf": "2", "b_strategy": "0", "preset": "ultrafast"} if codec == "libx264" else {"bf": "0"}
        picture = target.add_stream(codec, 25, options=options)
        picture.width, picture.height = 64, 48
        picture.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        is_bare = path.suffix == ".mkv"
        track = target.add_stream("pcm_s16le" if is_bare else "aac", RATE, layout="mono")
        for number in range(50):
            frame = av.VideoFrame(64, 48, picture.pix_fmt)
            for plane in frame.planes:
                np.frombuffer(plane, np.uint8)[:] = 20 + 4 * number
            frame.pts, frame.time_base = round(25 * begin_seconds) + number, Fraction(1, 25)
            mux(picture.encode(frame))
            block = av.AudioFrame("s16" if is_bare else "fltp", "mono", RATE // 25)
            for plane in block.planes:
                np.frombuffer(plane, np.uint8)[:] = 0
            block.sample_rate, block.pts, block.time_base = RATE, frame.pts * RATE // 25, Fraction(1, RATE)
            target.mux(track.encode(block))
        mux(picture.encode(None))
        target.mux(track.encode(None))


def with_wrong_time(film: Path, changed: Path, seconds: float, kind: str = "video") -> None:
    """A copy of a Matroska file, the ODD-th picture or sound of which is to come `seconds` later: only the 16 bits of
    its block that tell its milliseconds change, which lie before its flags and its payload (RFC 9559, section 10.2)."""
    with av.open(str(film)) as container:
        stream = container.streams.get({kind: 0})[0]
        packet = [packet for packet in container.demux(stream) if packet.size][ODD]
    data = bytearray(film.read_bytes())
    place = data.index(bytes(packet), packet.pos) - 3
    time = int.from_bytes(data[place : place + 2], "big", signed=True) + round(1000 * seconds)
    data[place : place + 2] = time.to_bytes(2, "big", signed=True)
    changed.write_bytes(data)


def with_wrong_clock(film: Path, changed: Path, seconds: float) -> None:
    """A copy of a transport stream, the ODD-th picture of which is to be decoded and shown `seconds` later: the 33 bits
    each of its PES header that tell when change (ISO/IEC 13818-1, section 2.4.3.7)."""
    data = bytearray(film.read_bytes())
    begins = [n for n in range(0, len(data), 188) if data[n + 1] & 0x5F == 0x41 and data[n + 2] == 0]  # of PID 256
    place = data.index(b"\0\0\1\xe0", begins[ODD]) + 9
    assert data[place - 2] >> 6 == 3, "it tells both"
    for at in (place, place + 5):
        bits = int.from_bytes(data[at : at + 5], "big")
        time = (bits >> 33 & 7) << 30 | (bits >> 17 & 0x7FFF) << 15 | bits >> 1 & 0x7FFF
        time += round(90_000 * seconds)
        bits &= ~(7 << 33 | 0x7FFF << 17 | 0x7FFF << 1)
        bits |= (time >> 30 & 7) << 33 | (time >> 15 & 0x7FFF) << 17 | (time & 0x7FFF) << 1
        data[at : at + 5] = bits.to_bytes(5, "big")
    changed.write_bytes(data)


def failed(source: Path, result: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(source, result).failed}


@pytest.mark.parametrize("seconds", [20, 0.9, -0.9, 0.3, -0.3])
@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
def test_one_wrong_time_moves_no_other_picture(tmp_path: Path, codec: str, seconds: float) -> None:
    write_film(tmp_path / "film.mkv", codec)
    with_wrong_time(tmp_path / "film.mkv", tmp_path / "wrong.mkv", seconds)
    notes = through(tmp_path / "wrong.mkv", tmp_path / "out.mkv")
    shown = times(tmp_path / "out.mkv", "video")
    assert shown == pytest.approx(times(tmp_path / "film.mkv", "video"), abs=0.0011), "and it has its own again"
    assert times(tmp_path / "out.mkv", "audio") == times(tmp_path / "film.mkv", "audio")
    assert NOTE in notes
    assert not [note for note in notes if "jumps" in note]
    assert failed(tmp_path / "wrong.mkv", tmp_path / "out.mkv") == {}


@pytest.mark.parametrize("seconds", [20, 5, 0.9, -0.9, -5, -20])
def test_one_wrong_time_is_no_joint_of_recordings(tmp_path: Path, seconds: float) -> None:
    write_film(tmp_path / "film.ts", "mpeg2video", Fraction(100))
    with_wrong_clock(tmp_path / "film.ts", tmp_path / "wrong.ts", seconds)
    notes = through(tmp_path / "wrong.ts", tmp_path / "out.mkv")
    through(tmp_path / "film.ts", tmp_path / "right.mkv")
    for kind in ("video", "audio"):
        right = times(tmp_path / "right.mkv", kind)
        assert len(right) == len(times(tmp_path / "film.ts", kind))
        assert times(tmp_path / "out.mkv", kind) == pytest.approx(right, abs=0.0011)
    assert NOTE in notes
    assert not [note for note in notes if "jumps" in note]
    assert failed(tmp_path / "wrong.ts", tmp_path / "out.mkv") == {}


def test_a_joint_behind_a_wrong_time_is_one(tmp_path: Path) -> None:
    write_film(tmp_path / "film.ts", "mpeg2video", Fraction(100))
    with_wrong_clock(tmp_path / "film.ts", tmp_path / "wrong.ts", -5)
    film = tmp_path / "joined.ts"
    film.write_bytes((tmp_path / "wrong.ts").read_bytes() + (tmp_path / "film.ts").read_bytes())
    notes = through(film, tmp_path / "out.mkv")
    assert NOTE in notes
    assert "the file's clock jumps once; what follows is put behind what came before" in notes
    shown, heard = times(tmp_path / "out.mkv", "video"), times(tmp_path / "out.mkv", "audio")
    assert [later - earlier for earlier, later in pairwise(shown)] == pytest.approx([0.04] * 99, abs=0.0011)
    half = len(heard) // 2
    assert heard[half + 3] - shown[50] == pytest.approx(heard[3] - shown[0], abs=0.005)
    assert failed(film, tmp_path / "out.mkv") == {}


def test_a_picture_that_is_to_be_shown_long_after_it_is_decoded(tmp_path: Path) -> None:
    """As where one entry of MP4's table of composition offsets is wrong."""
    write_film(tmp_path / "film.mp4", "libx264")
    write_film(tmp_path / "wrong.mp4", "libx264", late={ODD: 20})
    notes = through(tmp_path / "wrong.mp4", tmp_path / "out.mp4")
    for kind in ("video", "audio"):
        assert times(tmp_path / "out.mp4", kind) == times(tmp_path / "film.mp4", kind)
    assert NOTE in notes
    assert failed(tmp_path / "wrong.mp4", tmp_path / "out.mp4") == {}


def test_pictures_that_come_late_one_after_another_are_caught_up_with(tmp_path: Path) -> None:
    """Which of them is wrong cannot be told from the next one alone."""
    write_film(tmp_path / "film.mp4", "libx264")
    write_film(tmp_path / "wrong.mp4", "libx264", late={ODD: 0.4, ODD + 1: 0.4, ODD + 2: 0.4})
    through(tmp_path / "wrong.mp4", tmp_path / "out.mp4")
    shown = times(tmp_path / "out.mp4", "video")
    assert shown[-6:] == pytest.approx(times(tmp_path / "film.mp4", "video")[-6:], abs=0.0011)
    assert times(tmp_path / "out.mp4", "audio") == times(tmp_path / "film.mp4", "audio")


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_parts_that_overlap_a_little_stay_with_their_sound(tmp_path: Path, codec: str) -> None:
    """For so little, the clock of the file does not count as jumping: picture and sound catch up, each for itself."""
    write_film(tmp_path / "first.ts", codec, Fraction(100))
    write_film(tmp_path / "second.ts", codec, Fraction(102) - Fraction(7, 25))
    film = tmp_path / "film.ts"
    film.write_bytes((tmp_path / "first.ts").read_bytes() + (tmp_path / "second.ts").read_bytes())
    through(film, tmp_path / "out.mkv")
    moved = times(film, "video")[0] - times(tmp_path / "out.mkv", "video")[0]  # to zero, with all that follows
    for kind in ("video", "audio"):
        heard_or_shown, right = times(tmp_path / "out.mkv", kind), times(tmp_path / "second.ts", kind)
        assert len(heard_or_shown) == len(times(film, kind))
        assert heard_or_shown[-40:] == pytest.approx([time - moved for time in right[-40:]], abs=0.0011), kind
    assert failed(film, tmp_path / "out.mkv") == {}


def test_a_wrong_time_ends_no_cut(tmp_path: Path) -> None:
    """Neither its pictures nor its sound, however far behind the end it lies."""
    write_film(tmp_path / "film.mkv", "mjpeg")
    with_wrong_time(tmp_path / "film.mkv", tmp_path / "wrong.mkv", 30)
    for name in ("film", "wrong"):
        through(tmp_path / f"{name}.mkv", tmp_path / f"{name}_out.mkv", end_seconds=1.6)
    for kind in ("video", "audio"):
        right = times(tmp_path / "film_out.mkv", kind)
        assert times(tmp_path / "wrong_out.mkv", kind) == pytest.approx(right, abs=0.0011)


@pytest.mark.parametrize("seconds", [20, 0.9, -0.9])
def test_one_wrong_time_moves_no_other_sound(tmp_path: Path, seconds: float) -> None:
    write_film(tmp_path / "film.mkv", "mjpeg")
    with_wrong_time(tmp_path / "film.mkv", tmp_path / "wrong.mkv", seconds, "audio")
    notes = through(tmp_path / "wrong.mkv", tmp_path / "out.mkv")
    for kind in ("video", "audio"):
        assert times(tmp_path / "out.mkv", kind) == times(tmp_path / "film.mkv", kind)
    assert "1 timestamps of the audio of codec pcm_s16le were wrong and were filled in" in notes
    assert failed(tmp_path / "wrong.mkv", tmp_path / "out.mkv") == {}


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
