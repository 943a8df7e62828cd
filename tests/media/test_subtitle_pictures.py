"""Subtitles that are pictures: where another reader finds them in the result, and what is on the screen at a cut."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through

Timed = tuple[float, bytes]
WIDTH, HEIGHT = 16, 8  # of a subtitle


def segment(kind: int, body: bytes) -> bytes:
    return struct.pack(">BH", kind, len(body)) + body


def pgs(number: int, *, is_shown: bool) -> list[bytes]:
    """The segments of a picture of one colour, or of one that empties the screen."""
    size = struct.pack(">HHB", 64, 48, 0x10)
    if not is_shown:
        return [segment(0x16, size + struct.pack(">HBBBB", number, 0, 0, 0, 0)), segment(0x80, b"")]
    line = bytes([0, 0x80 | WIDTH, 1, 0, 0])  # so many pixels of colour 1
    return [
        segment(0x16, size + struct.pack(">HBBBBHBBHH", number, 0x80, 0, 0, 1, 0, 0, 0, 8, 20)),
        segment(0x17, struct.pack(">BBHHHH", 1, 0, 8, 20, WIDTH, HEIGHT)),
        segment(0x14, bytes([0, 0, 1, 235, 128, 128, 255])),
        segment(0x15, struct.pack(">HBBBHHH", 0, 0, 0xC0, 0, 4 + HEIGHT * len(line), WIDTH, HEIGHT) + HEIGHT * line),
        segment(0x80, b""),
    ]


def vobsub(shown_seconds: float | None) -> bytes:
    """A picture of a DVD: its lines, the commands that show it and, unless None, the one that takes it away."""
    lines = bytes([0, 1]) * HEIGHT  # each up to its end of colour 1
    show = bytes([3, 0x32, 0x10, 4, 0xFF, 0xF0, 5, 0, 0x80, 0x17, 1, 0x40, 0x1B, 6, 0, 4, 0, 12, 1, 0xFF])
    first = 4 + len(lines)
    second = first + 4 + len(show)
    if shown_seconds is None:
        commands = struct.pack(">HH", 0, first) + show
    else:
        stop = struct.pack(">HH", round(shown_seconds * 90_000 / 1024), second) + bytes([2, 0xFF])
        commands = struct.pack(">HH", 0, second) + show + stop
    return struct.pack(">HH", first + len(commands), first) + lines + commands


def dvb(number: int) -> bytes:
    """An empty page (ETSI EN 300 743), of which no two are alike."""
    page = struct.pack(">BBHH", 0x0F, 0x10, 1, 2) + bytes([30, number << 4])
    return page + struct.pack(">BBHH", 0x0F, 0x80, 1, 0)


def write(path: Path, codec: str, packets: Iterable[Timed], duration: float = 0) -> Path:
    """12 seconds of 25 pictures each, with a track of subtitles whose packets state this duration, or none."""
    options = {"mpegts_m2ts_mode": "1"} if path.suffix == ".m2ts" else {}
    with av.open(str(path), "w", options=options) as film:
        video = film.add_stream("mpeg2video", 25)
        video.width, video.height = 64, 48
        track = film.add_mux_stream(codec)
        track.time_base = Fraction(1, 90_000)
        left = [*packets, (12.0, b"")]
        for number in range(25 * 12):
            while left[0][0] <= number / 25 and left[0][1]:
                begin, payload = left.pop(0)
                packet = av.Packet(payload)
                packet.pts = packet.dts = round(begin * 90_000)
                packet.time_base, packet.stream = Fraction(1, 90_000), track
                packet.duration = round(duration * 90_000)
                film.mux(packet)
            film.mux(video.encode(flat_picture(number, 16 + 97 * number % 220)))
        film.mux(video.encode(None))
    return path


def shown(path: Path) -> list[tuple[float, bytes]]:
    """(when, what) of each subtitle, seconds from the first picture."""
    with av.open(str(path)) as film:
        origin = min(float(p.pts * p.time_base) for p in film.demux(video=0) if p.pts is not None)
    with av.open(str(path)) as film:
        track = next(s for s in film.streams if s.type == "subtitle")
        return [(round(float(p.pts * p.time_base) - origin, 2), bytes(p)) for p in film.demux(track) if p.size]


@pytest.fixture
def blu_ray() -> list[Timed]:
    """Words from 2 to 5 and from 7 to 10 seconds, a packet for each segment."""
    moments = ((2, True), (5, False), (7, True), (10, False))
    return [(at, part) for number, (at, is_shown) in enumerate(moments) for part in pgs(number, is_shown=is_shown)]


@pytest.fixture
def ripped() -> list[Timed]:
    """The same, a packet for all segments of a picture."""
    moments = ((2, True), (5, False), (7, True), (10, False))
    return [(at, b"".join(pgs(number, is_shown=is_shown))) for number, (at, is_shown) in enumerate(moments)]


@pytest.mark.parametrize("suffix", [".m2ts", ".mkv"])
def test_pictures_of_a_blu_ray_arrive_whole(
    tmp_path: Path, blu_ray: list[Timed], ripped: list[Timed], suffix: str
) -> None:
    film = write(tmp_path / f"film{suffix}", "hdmv_pgs_subtitle", blu_ray if suffix == ".m2ts" else ripped)
    through(film, tmp_path / "result.mkv")
    assert shown(tmp_path / "result.mkv") == ripped
    report = verify(film, tmp_path / "result.mkv", scale=1)
    assert report.ok, [check for check in report.checks if not check.ok]


@pytest.mark.parametrize("suffix", [".m2ts", ".mkv"])
def test_a_picture_of_a_blu_ray_that_stands_where_the_cut_begins(
    tmp_path: Path, blu_ray: list[Timed], ripped: list[Timed], suffix: str
) -> None:
    film = write(tmp_path / f"film{suffix}", "hdmv_pgs_subtitle", blu_ray if suffix == ".m2ts" else ripped)
    through(film, tmp_path / "result.mkv", start_seconds=8)
    assert shown(tmp_path / "result.mkv") == [(0, ripped[2][1]), (2, ripped[3][1])]
    through(film, tmp_path / "later.mkv", start_seconds=11)
    assert [what for _, what in shown(tmp_path / "later.mkv")] == [ripped[3][1]]  # nothing is on the screen


def test_a_picture_of_a_broadcast_that_stands_where_the_cut_begins(tmp_path: Path) -> None:
    pages = [(float(at), dvb(at)) for at in (2, 5, 9)]
    film = write(tmp_path / "film.ts", "dvb_subtitle", pages)
    through(film, tmp_path / "result.mkv", start_seconds=6, end_seconds=11)
    assert shown(tmp_path / "result.mkv") == [(0, dvb(5)), (3, dvb(9))]


def test_the_last_picture_of_a_dvd_is_not_lost_in_mp4(tmp_path: Path) -> None:
    """Its packets state no duration, and a last one without any is there but never read again."""
    for name, seconds in (("timed", 3), ("untimed", None)):
        pictures = [(2.0, vobsub(seconds)), (7.0, vobsub(seconds))]
        film = write(tmp_path / f"{name}.vob", "dvd_subtitle", pictures)
        through(film, tmp_path / f"{name}.mp4")
        assert shown(tmp_path / f"{name}.mp4") == pictures
        assert verify(film, tmp_path / f"{name}.mp4", scale=1).ok


def test_in_mp4_a_picture_of_a_dvd_may_last_to_the_next(tmp_path: Path) -> None:
    """By its packet, that is: when it goes is said inside."""
    film = write(tmp_path / "film.mkv", "dvd_subtitle", [(2.0, vobsub(3)), (7.0, vobsub(3))], duration=3)
    through(film, tmp_path / "result.mp4")
    assert verify(film, tmp_path / "result.mp4", scale=1).ok


def test_a_picture_of_a_dvd_stands_where_the_cut_begins_for_as_long_as_it_says(tmp_path: Path) -> None:
    film = write(tmp_path / "film.vob", "dvd_subtitle", [(2, vobsub(1.5)), (5, vobsub(2.0)), (9, vobsub(1.0))])
    through(film, tmp_path / "result.mkv", start_seconds=6)
    assert shown(tmp_path / "result.mkv") == [(0, vobsub(2.0)), (3, vobsub(1.0))]
