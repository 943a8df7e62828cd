"""What the format says of colours, shape and light, read back from the file that was written."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import UNSPECIFIED, Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.hdr import MasteringDisplay
from tests.film import read_film

WriteFilm = Callable[..., FileSink]
SMALL = VideoFormat(width=128, height=96, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))

TAGS = [
    {"color_space": 1, "primaries": 1, "transfer": 1},
    {"color_space": 6, "primaries": 6, "transfer": 6, "color_range": "full"},
    {"color_space": 5, "primaries": 5, "transfer": 6},
    {"color_space": 9, "primaries": 9, "transfer": 16, "pix_fmt": "yuv420p10le", "chroma_location": "topleft"},
    {"color_space": 9, "primaries": 9, "transfer": 18, "pix_fmt": "yuv420p10le", "chroma_location": "topleft"},
    {"sample_aspect_ratio": Fraction(64, 45)},
    {"sample_aspect_ratio": Fraction(3, 2)},
    {"rotation": 90},
    {"rotation": -90, "sample_aspect_ratio": Fraction(32, 27)},
    {"rotation": 180},
]


@pytest.mark.parametrize("tags", TAGS, ids=str)
@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx265"),
        ("a.mkv", "libx264"),
        ("a.mp4", "libsvtav1"),
        ("a.webm", "libsvtav1"),
        ("a.mkv", "ffv1"),
    ],
)
def test_what_the_format_says_is_written(
    write_film: WriteFilm, tmp_path: Path, tags: dict[str, object], name: str, encoder: str
) -> None:
    format = dataclasses.replace(SMALL, **tags)  # type: ignore[arg-type]
    choice = choose_encoder(encoder, bit_depth=format.bit_depth, suffix=Path(name).suffix)
    write_film(name, format, pts=[0, 3600], encoder=choice)
    got, _ = read_film(tmp_path / name)
    wanted = {key: getattr(format, key) for key in tags}
    if wanted.get("rotation") == 180:
        assert got.rotation in (180, -180)
        wanted.pop("rotation")
    assert {key: getattr(got, key) for key in wanted} == wanted


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize(("primaries", "transfer"), [(22, 1), (3, 1), (1, 3), (0, 19)])
def test_colours_that_encoders_do_not_know_are_told(
    write_film: WriteFilm, tmp_path: Path, primaries: int, transfer: int, encoder: str
) -> None:
    """x265 would refuse the picture, x264 would lose them unsaid."""
    format = dataclasses.replace(SMALL, primaries=primaries, transfer=transfer)
    sink = write_film("a.mkv", format, pts=[0, 3600], encoder=choose_encoder(encoder, bit_depth=8, suffix=".mkv"))
    got, _ = read_film(tmp_path / "a.mkv")
    assert (got.primaries, got.transfer) == tuple(code if code == 1 else UNSPECIFIED for code in (primaries, transfer))
    kind, code = ("primaries", primaries) if transfer == 1 else ("transfer", transfer)
    assert f"encoders do not know the colour {kind} {code} (of H.273): the result does not state it" in sink.notes


PQ = dataclasses.replace(
    SMALL, pix_fmt="yuv420p10le", color_space=9, primaries=9, transfer=16, chroma_location="topleft"
)


@pytest.mark.parametrize(
    ("name", "encoder"), [(n, e) for n in ("a.mp4", "a.mkv") for e in ("libx264", "libx265", "libsvtav1")]
)
def test_hdr10_metadata_survives(write_film: WriteFilm, tmp_path: Path, shared: Path, name: str, encoder: str) -> None:
    original = FileSource(shared / "data/video/torture/hdr10_av1_mdcv_clli_1080p.mp4")
    frame = original.read(original.format.new_planes())
    original.close()
    assert isinstance(frame, Frame)
    write_film(name, PQ, encoder=choose_encoder(encoder, bit_depth=10), side_data=frame.side_data)
    _, frames = read_film(tmp_path / name)
    got, wanted = (MasteringDisplay.parse(f.side_data["MASTERING_DISPLAY_METADATA"]) for f in (frames[0], frame))
    assert wanted is not None
    assert got is not None
    for field in ("red", "green", "blue", "white"):
        for a, b in zip(getattr(got, field), getattr(wanted, field), strict=True):
            assert abs(a - b) <= Fraction(1, 20_000)
    assert abs(got.max_luminance - wanted.max_luminance) <= Fraction(1, 100)
    assert abs(got.min_luminance - wanted.min_luminance) <= Fraction(1, 1_000)
    assert frames[0].side_data["CONTENT_LIGHT_LEVEL"] == frame.side_data["CONTENT_LIGHT_LEVEL"]


def test_hdr10_metadata_that_an_encoder_cannot_write_is_said(write_film: WriteFilm) -> None:
    light = {"CONTENT_LIGHT_LEVEL": struct.pack("=2I", 1000, 400)}
    words = "ffv1 cannot write HDR metadata (mastering display, content light)"
    assert words in write_film("a.mkv", PQ, encoder=choose_encoder("ffv1", bit_depth=10), side_data=light).notes
    assert words not in write_film("b.mkv", PQ, encoder=choose_encoder("ffv1", bit_depth=10)).notes
