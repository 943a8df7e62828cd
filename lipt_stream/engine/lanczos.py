"""Lanczos interpolation in the network's place: the last rung of a live session, for when no network holds the rate.

A video's planes are enlarged as they are. The filter is linear, so RGB would give the same luma, at three to five times
the cost (benchmarks/lanczos.py): a channel more at full size, and two conversions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from lipt_stream.engine.color_math import DevicePlanes, cosited, signed
from lipt_stream.engine.one_thread import one_thread
from lipt_stream.frame import VideoFormat

LOBES: Final = 3
BAND_SAMPLES: Final = 2**17
"""Source samples that a CPU enlarges at a time: their rows stay in its cache from one step to the next."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One of the `scale` results per source sample i: the sum of weights[t] * source[i + first + t]."""

    first: int
    weights: tuple[float, ...]


Phases: TypeAlias = tuple[Phase, ...]


class LanczosUpscaler:
    """Three lobes, separable, the edge sample repeated beyond the edge; each phase's weights sum to 1.

    Takes an `Upscaler`'s place in an Engine. On a CPU it keeps to the calling thread.
    """

    def __init__(self, scale: int, device: torch.device) -> None:
        self.scale = scale
        self.device = device
        self._between = make_phases(scale, is_cosited=False)
        self._on_even = make_phases(scale, is_cosited=True)

    def run(self, images: Tensor, at_once: int = 1) -> Tensor:
        """`(N, 3, H, W)` float on `device` -> `(N, 3, scale*H, scale*W)` float32, not clamped."""
        del at_once  # each call keeps to the threads it was given
        n, c, h, w = images.shape
        result = torch.empty((n, c, self.scale * h, self.scale * w), device=images.device)
        with torch.inference_mode(), self._threads():
            for plane, enlarged in zip(images.flatten(0, 1), result.flatten(0, 1), strict=True):
                for rows, band in _bands(plane, self._between, self._between):
                    enlarged[rows] = band
        return result

    def run_planes(self, video: VideoFormat, planes: DevicePlanes, result: DevicePlanes) -> None:
        """Fill `result` (of `video` scaled) from `planes` (of `video`), rounded and clamped to the range of codes.

        Chroma keeps its siting: its samples lie on the larger picture where `video` says that they lie on this one.
        """
        across, down = (self._on_even if on_even else self._between for on_even in cosited(video))
        chroma = across, down
        with torch.inference_mode(), self._threads():
            for plane, enlarged, (x, y) in zip(
                planes, result, ((self._between, self._between), chroma, chroma), strict=True
            ):
                for rows, band in _bands(signed(plane), x, y):
                    height, width = enlarged[rows].shape  # an odd side's chroma is a sample short of `scale` times
                    codes = band[:height, :width].add_(0.5).clamp_(0, 2**video.bit_depth - 1)
                    # By way of int16, as in color.py: straight to uint8 is not vectorised.
                    signed(enlarged)[rows].copy_(codes.to(torch.int16))

    def _threads(self) -> AbstractContextManager[None]:
        return one_thread() if self.device.type == "cpu" else nullcontext()


def make_phases(scale: int, *, is_cosited: bool) -> Phases:
    """The filters of one axis. Pixels and centred chroma lie in the middle of what they stand for; co-sited chroma on
    even pixels, a quarter of its own spacing before that middle."""
    middle = 0.25 if is_cosited else 0.5
    return tuple(_phase((k + middle) / scale - middle) for k in range(scale))


def _phase(center: float) -> Phase:
    """The filter of a result that lies at `center`, in source samples."""
    first = math.floor(center) - LOBES + 1
    weights = [_lanczos(center - first - tap) for tap in range(2 * LOBES)]
    total = math.fsum(weights)
    return Phase(first, tuple(weight / total for weight in weights))


def _lanczos(x: float) -> float:
    """sinc(x) sinc(x / LOBES) on -LOBES..LOBES."""
    if x == 0:
        return 1.0
    if abs(x) >= LOBES:
        return 0.0
    a, b = math.pi * x, math.pi * x / LOBES
    return math.sin(a) / a * math.sin(b) / b


def _bands(plane: Tensor, across: Phases, down: Phases) -> Iterator[tuple[slice, Tensor]]:
    """`plane` (H, W) enlarged, a band of rows at a time: which rows of the result, and their float32 samples, which the
    next band overwrites."""
    height, width = plane.shape
    scale, reach = len(down), LOBES
    step = min(height, max(1, BAND_SAMPLES // width)) if plane.device.type == "cpu" else height
    padded, samples, wide, result = (
        torch.empty(shape, device=plane.device)
        for shape in (
            (step + 2 * reach, width + 2 * reach),
            (step + 2 * reach, width),
            (step + 2 * reach, width, scale),
            (step, scale, width * scale),
        )
    )
    for top in range(0, height, step):
        count = min(step, height - top)  # rows of the source that this band enlarges
        rows = slice(count + 2 * reach)
        _pad(plane, top - reach, padded[rows])
        for k, phase in enumerate(across):
            starts = range(reach + phase.first, reach + phase.first + 2 * LOBES)
            _weigh([padded[rows, x : x + width] for x in starts], phase, samples[rows])
            wide[rows, :, k] = samples[rows]
        for k, phase in enumerate(down):
            starts = range(reach + phase.first, reach + phase.first + 2 * LOBES)
            _weigh([wide[y : y + count].flatten(1) for y in starts], phase, result[:count, k])
        yield slice(top * scale, (top + count) * scale), result[:count].flatten(0, 1)


def _pad(plane: Tensor, top: int, out: Tensor) -> None:
    """Rows `top` and on of `plane`, with its edge samples repeated where `out` reaches beyond it."""
    first, stop = max(top, 0), min(top + len(out), len(plane))
    above, below = first - top, stop - top
    out[above:below, LOBES:-LOBES] = plane[first:stop]
    out[:above, LOBES:-LOBES] = plane[first]
    out[below:, LOBES:-LOBES] = plane[stop - 1]
    out[:, :LOBES] = out[:, LOBES : LOBES + 1]
    out[:, -LOBES:] = out[:, -LOBES - 1 : -LOBES]


def _weigh(shifted: list[Tensor], phase: Phase, out: Tensor) -> None:
    """out = the weighted sum of the shifted views."""
    torch.mul(shifted[0], phase.weights[0], out=out)
    for view, weight in zip(shifted[1:], phase.weights[1:], strict=True):
        if weight:
            out.add_(view, alpha=weight)
