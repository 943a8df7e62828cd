"""What an audit finds lost that no picture shows: captions, a second picture of transparency, a crop."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lipt_stream.media.file_source import FileSource
from lipt_stream.verify.audit import verify
from tests.film import through
from tests.media.test_crop import CROP_TOP, DISPLAY_UNIT
from tests.media.test_crop import film as film_without_crop
from tests.media.test_lost_side_data import CAPTIONS, HDR10_PLUS, write
from tests.verify.audited_film import through_the_sink


def faults(source: Path, result: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(source, result).failed}


@pytest.mark.parametrize("at", [0, 7])
@pytest.mark.parametrize(
    ("codec", "message", "words"),
    [("h264", CAPTIONS, "closed captions inside"), ("hevc", HDR10_PLUS, "HDR10+ dynamic metadata")],
    ids=["captions", "hdr10plus"],
)
def test_what_came_inside_the_pictures(tmp_path: Path, codec: str, message: bytes, words: str, at: int) -> None:
    source, result = tmp_path / "film.ts", tmp_path / "result.mkv"
    write(source, codec, message, at)
    through(source, result)
    found = faults(source, result)
    assert found.keys() == {"side data"}
    assert words in found["side data"]
    assert faults(source, source) == {}


def test_the_transparency_of_vp9(tmp_path: Path) -> None:
    source, result = tmp_path / "film.webm", tmp_path / "result.mkv"
    with av.open(str(source), "w") as target:
        stream = target.add_stream("libvpx-vp9", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.metadata["alpha_mode"] = "1"
        for number in range(3):
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 90 + number, np.uint8), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    through(source, result)
    assert faults(source, result) == {"alpha": "the transparency is lost"}
    assert faults(source, source) == {}


def test_a_crop(tmp_path: Path) -> None:
    source, result, plain = (tmp_path / name for name in ("film.mkv", "result.mkv", "plain.mkv"))
    plain.write_bytes(film_without_crop(plain))
    source.write_bytes(plain.read_bytes().replace(DISPLAY_UNIT, CROP_TOP))
    through(source, result)
    told = {"crop": "players cut off pixels (8 at the top) of the source, and nothing of the result"}
    assert faults(source, result) == told
    assert faults(source, source) == {}
    told = {"crop": "players cut off nothing of the source, and pixels (8 at the top) of the result"}
    assert faults(plain, source) == told


def test_a_picture_that_could_be_transparent_and_is_not(tmp_path: Path) -> None:
    """FFmpeg decodes every GIF with transparency."""
    source = tmp_path / "film.gif"
    for hole, told in ((False, {}), (True, {"alpha": "the transparency is lost"})):
        pictures = [Image.new("RGBA", (64, 48), (40 * number, 90, 120, 255)) for number in range(3)]
        for picture in pictures if hole else ():
            picture.paste((0, 0, 0, 0), (8, 8, 16, 16))
        pictures[0].save(source, save_all=True, append_images=pictures[1:], duration=100)
        through_the_sink(source, result := tmp_path / f"{hole}.mkv")
        assert faults(source, result) == told


@pytest.mark.parametrize("pix_fmt", ["monob", "monow"])
def test_pictures_of_one_bit(tmp_path: Path, pix_fmt: str) -> None:
    """They are black and white, whatever FFmpeg's name of their format, and from afar gray."""
    source, result = tmp_path / "film.nut", tmp_path / "result.mkv"
    with av.open(str(source), "w") as target:
        stream = target.add_stream("rawvideo", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for number in range(3):
            x, y = np.meshgrid(np.arange(64), np.arange(48))
            gray = 125 + 65 * np.sin((x + 2 * number) / 7) * np.cos((y + number) / 6)
            picture = av.VideoFrame.from_ndarray(gray.astype(np.uint8), format="gray").reformat(format=pix_fmt)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    with closing(FileSource(source)) as film:
        assert film.format.color_range == "full"
    through_the_sink(source, result)
    assert faults(source, result) == {}
