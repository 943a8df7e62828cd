"""Colours that are wrong in a part of a film alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lipt_stream.verify.audit import verify

Codes = NDArray[np.float64]
COUNT = 60


def scene(number: int) -> list[Codes]:
    """Y, U and V of 64x48: stripes that wander, in weak colours, as bright on average as where both ranges meet."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    luma = 114 + 60 * np.sin((x + 2 * number) / 9) * np.cos(y / 7)
    chroma = 128 + 20 * np.sin((x[::2, ::2] + number) / 11)
    return [luma, chroma, 256 - chroma]


def write(path: Path, pictures: Sequence[list[Codes]]) -> Path:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = 1, 1
        for number, codes in enumerate(pictures):
            rows = np.concatenate([plane.ravel() for plane in codes]).reshape(72, 64)
            picture = av.VideoFrame.from_ndarray(rows.round().clip(0, 255).astype(np.uint8), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def as_full(codes: list[Codes]) -> list[Codes]:
    """Studio's codes under full range's name, turned into studio's again."""
    luma, *chroma = codes
    return [16 + luma * 219 / 255, *(128 + (plane - 128) * 224 / 255 for plane in chroma)]


def as_studio(codes: list[Codes]) -> list[Codes]:
    luma, *chroma = codes
    return [(luma - 16) * 255 / 219, *(128 + (plane - 128) * 255 / 224 for plane in chroma)]


def faults(folder: Path, wrong: range, change: Callable[[list[Codes]], list[Codes]]) -> dict[str, str]:
    source = write(folder / "source.mkv", [scene(n) for n in range(COUNT)])
    changed = [change(scene(n)) if n in wrong else scene(n) for n in range(COUNT)]
    return {check.name: check.detail for check in verify(source, write(folder / "result.mkv", changed)).failed}


def test_a_wrong_range_in_a_part_of_a_film_is_found_and_placed(tmp_path: Path) -> None:
    for change, words in ((as_full, "studio range was taken for full"), (as_studio, "full range was taken for studio")):
        assert faults(tmp_path, range(21, 41), change) == {"colour": f"pictures 24-39 look as if {words}"}


def test_what_is_wrong_all_along_is_said_once(tmp_path: Path) -> None:
    found = faults(tmp_path, range(COUNT), as_full)
    assert found["colour"].count("studio range was taken for full") == 1
    assert "look as if" not in found["colour"]


def test_a_second_of_flat_gray_that_is_off_by_one_is_no_wrong_range(tmp_path: Path) -> None:
    flat = [np.full((48, 64), 120.0), np.full((24, 32), 128.0), np.full((24, 32), 128.0)]
    pictures = [scene(n) if n < COUNT - 25 else flat for n in range(COUNT)]
    off = [[codes[0] - (codes is flat), *codes[1:]] for codes in pictures]
    verification = verify(write(tmp_path / "source.mkv", pictures), write(tmp_path / "result.mkv", off))
    assert [check.name for check in verification.failed] == []
