"""Both sides of the preview in one picture: the upscaled frame, and below it the frame that it was made from.

One picture, encoded once, cannot drift apart: what the page shows left and right of its divider is the same moment
to the frame, whatever the network, the browser or a dropped packet does.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lipt_stream.frame import Planes, Samples, VideoFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A rectangle of luma samples. `x` and `y` are even, so that chroma lies on it too."""

    x: int
    y: int
    width: int
    height: int


class Composition:
    """The result (scale * h rows) on top, the source (h rows) below it at the left, the rest black.

    `format` is always 8-bit 4:2:0 with even sides, square samples and no rotation, which every browser decodes and
    cuts alike; colour is that of the result. `sample_aspect_ratio` and `rotation` (degrees, counter-clockwise) are
    for whoever draws the areas `result` and `source`.
    """

    def __init__(self, source: VideoFormat, result: VideoFormat) -> None:
        self.scale = result.height // source.height
        self.result = Area(x=0, y=0, width=result.width, height=result.height)
        self.source = Area(x=0, y=_even(result.height), width=source.width, height=source.height)
        self.sample_aspect_ratio = result.sample_aspect_ratio
        self.rotation = result.rotation
        self.format = dataclasses.replace(
            result,
            width=_even(max(result.width, source.width)),
            height=_even(self.source.y + source.height),
            pix_fmt="yuv420p",
            sample_aspect_ratio=Fraction(1),
            rotation=0,
        )
        black = 16 if result.color_range == "studio" else 0
        self._backgrounds = (black, 128, 128)
        self._source_tops = (self.source.y, self.source.y // 2, self.source.y // 2)
        self._source_shift = source.bit_depth - 8
        self._result_shift = result.bit_depth - 8

    def compose(self, source: Planes, result: Planes) -> Planes:
        """New planes of `format` from the planes of one moment. Samples deeper than 8 bits are rounded to 8."""
        y, u, v = (np.full(s, b, np.uint8) for s, b in zip(self.format.plane_shapes, self._backgrounds, strict=True))
        for plane, top, before, after in zip((y, u, v), self._source_tops, source, result, strict=True):
            plane[: after.shape[0], : after.shape[1]] = _to_8_bits(after, self._result_shift)
            plane[top : top + before.shape[0], : before.shape[1]] = _to_8_bits(before, self._source_shift)
        return y, u, v


def _even(n: int) -> int:
    return n + n % 2


def _to_8_bits(samples: Samples, shift: int) -> Samples:
    if shift == 0:
        return samples
    largest = (1 << (8 + shift)) - 1
    rounded = np.minimum(samples + np.uint16(1 << (shift - 1)), np.uint16(largest)) >> shift
    return rounded.astype(np.uint8)
