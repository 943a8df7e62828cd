"""Chroma siting: what FFmpeg knows of a film, whatever its codec and container, and however many are open at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.media import ebml
from lipt_stream.media.siting import stated_siting

FILMS = (
    ("film.mp4", "libx264", "left", "left"),
    ("film.mov", "libx264", "center", "center"),
    ("film.ts", "libx264", "topleft", "topleft"),
    ("film.h264", "libx264", "top", "top"),
    ("film.mkv", "libx265", "center", "center"),
    ("bottom.mkv", "libx265", "bottom", None),  # has no name in Matroska
    ("film.mpg", "mpeg1video", "unspecified", "center"),
    ("film.avi", "mjpeg", "unspecified", "center"),
    ("film.webm", "libvpx-vp9", "topleft", "topleft"),
    ("mpeg4.avi", "mpeg4", "unspecified", "left"),
    ("prores.mov", "prores_ks", "unspecified", None),
    ("animation.mov", "qtrle", "unspecified", None),  # a codec that Matroska does not hold
)
PIX_FMTS = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "qtrle": "rgb24"}


def write(path: Path, encoder: str, siting: str) -> Path:
    quiet = {"x265-params": "log-level=none"} if encoder == "libx265" else {}
    with av.open(str(path), "w") as target:
        stream = target.add_stream(encoder, 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, PIX_FMTS.get(encoder, "yuv420p")
        stream.codec_context.options = quiet | {"chroma_sample_location": siting}
        for number in range(3):
            picture = VideoFrame(64, 48, stream.pix_fmt)
            for plane in picture.planes:
                # Unlike memory that nobody filled, never flat: FFmpeg takes a handful of MPEG-TS packets for no film.
                plane.update(bytes(range(256)) * (plane.buffer_size // 256) + bytes(plane.buffer_size % 256))
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def read(path: Path) -> str | None:
    with av.open(str(path)) as container:
        return stated_siting(container.streams.video[0])


@pytest.mark.parametrize(("name", "encoder", "siting", "stated"), FILMS, ids=[film[0] for film in FILMS])
def test_of_every_codec_and_container(tmp_path: Path, name: str, encoder: str, siting: str, stated: str | None) -> None:
    assert read(write(tmp_path / name, encoder, siting)) == stated


def test_of_films_that_are_opened_and_decoded_at_once(tmp_path: Path) -> None:
    sitings = ("left", "center", "topleft", "top") * 6
    films = [write(tmp_path / f"{number}.mp4", "libx264", siting) for number, siting in enumerate(sitings)]

    def decode_and_ask(film: Path) -> tuple[str | None, int, str | None]:
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            before = stated_siting(stream)
            return before, sum(1 for _ in container.decode(stream)), stated_siting(stream)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(decode_and_ask, films)) == [(siting, 3, siting) for siting in sitings]


@given(st.binary(max_size=300))
def test_reading_ends_at_what_is_no_ebml(data: bytes) -> None:
    starts = [start for _, start, _ in ebml.walk(data)]
    assert starts == sorted(set(starts))
    assert all(2 <= start <= len(data) + 7 for start in starts)  # a size may be cut off


def test_an_element_is_found_inside_others() -> None:
    inner = b"\x83\x81\x07" + b"\xe0\x84" + b"\x86\x82ab"  # one byte, then an element that holds another
    film = b"\xae\x40" + bytes([len(inner)]) + inner  # its size in two bytes
    assert ebml.inside(film, ebml.TRACK_ENTRY, ebml.VIDEO, 0x86) == b"ab"
    assert ebml.inside(film, ebml.TRACK_ENTRY, 0x83) == b"\x07"
    assert ebml.inside(film, ebml.VIDEO) == b""
