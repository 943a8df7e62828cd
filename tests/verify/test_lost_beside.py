"""What an audit finds lost that no picture shows: captions, a second picture of transparency, a crop."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.verify.audit import verify
from tests.film import through
from tests.media.test_crop import CROP_TOP, DISPLAY_UNIT
from tests.media.test_crop import film as film_without_crop
from tests.media.test_lost_side_data import CAPTIONS, HDR10_PLUS, write


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
    source, result = tmp_path / "film.mkv", tmp_path / "result.mkv"
    source.write_bytes(film_without_crop(source).replace(DISPLAY_UNIT, CROP_TOP))
    through(source, result)
    assert faults(source, result) == {
        "crop": "players cut off pixels (8 at the top) of the source, and nothing of the result"
    }
    assert faults(source, source) == {}
