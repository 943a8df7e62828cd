"""How the colours of two films differ, and which mistake would explain it: second moments of pairs of small images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M
from lipt_stream.media.audit_thumbnails import Thumbnail, rgb_from_ycbcr

Matrix: TypeAlias = NDArray[np.floating]

# Measured on fourteen films: right results (samples doubled, and upscaled by a network), and the same read by a wrong
# matrix or range. The test patterns are 4:4:4, of saturated lines a pixel wide, which 4:2:0 cannot hold.
#                     right, natural | right, test patterns | wrong matrix | wrong range
#   mean shift          up to 0.4    |      up to 0.6       |  0.0 to 3.2  |  0.2 to 13.8
#   gain error          up to 0.002  |      up to 0.04      |  0.0 to 0.24 | 0.14 to 0.16
#   mean difference     up to 0.4    |      up to 6.8       |  0.1 to 19   |  1.4 to 17
# No single figure parts right from wrong in a film of weak colours, so mistakes are looked for by their form: MISTAKES
# named none in a right result, every wrong range but one, and every wrong matrix that moved colours by more than 0.6 on
# average, but for the test patterns. Those, where clipping bends the form, are caught by the limits.
MAX_MEAN_SHIFT: Final = 1.0
MAX_GAIN_ERROR: Final = 0.08
MAX_MEAN_DIFFERENCE: Final = 10.0
_VISIBLE_RMS: Final = 0.5  # below this, on 0..255, no mistake is asserted
_STRETCH: Final = 8  # pictures
_VISIBLE_IN_STRETCH_RMS: Final = 1.5  # a second of flat gray that an encoder moved by one code looks like a wrong range
_EXPLAINED: Final = 0.5  # a mistake explains a difference if it leaves less than half of it
_POOL: Final = 4
_PRIOR_VARIANCE: Final = 16.0  # how much variance of colour outweighs the belief that nothing has changed
_FLAT_VARIANCE: Final = 100.0  # a channel that varies less has no gain that would show: 8 % of 10 is 0.8
_FREEDOM: Final = 40.0
"""What a network makes of single pixels is averaged out over many: each shift may be larger by this, divided by the
root of their number. Films of 1x1, 2x2, 7x7 and 64x1 pixels shifted by 8.9, 0.9, 5.1 and 1.5."""


@dataclass(frozen=True, slots=True)
class ColorChange:
    """An affine map of R'G'B' (0..255): `matrix` (3, 3), `offset` (3,)."""

    matrix: Matrix
    offset: Matrix

    def apply(self, image: Thumbnail) -> Thumbnail:
        """(..., 3) -> (..., 3)."""
        return image @ self.matrix.T.astype(np.float32) + self.offset.astype(np.float32)


def _mistakes() -> Iterator[tuple[str, ColorChange]]:
    matrices = {"BT.709": BT709, "BT.601": SMPTE170M, "BT.2020": BT2020_NCL}
    for (was, one), (taken, other) in permutations(matrices.items(), 2):
        change = rgb_from_ycbcr(other) @ np.linalg.inv(rgb_from_ycbcr(one))
        yield f"{was} was taken for {taken}", ColorChange(change, np.zeros(3))
    to_rgb = rgb_from_ycbcr(BT709)
    squeeze = to_rgb @ np.diag([219 / 255, 224 / 255, 224 / 255]) @ np.linalg.inv(to_rgb)
    yield "studio range was taken for full", ColorChange(squeeze, np.full(3, 16.0))
    stretch = np.linalg.inv(squeeze)
    yield "full range was taken for studio", ColorChange(stretch, stretch @ np.full(3, -16.0))


MISTAKES: Final = tuple(_mistakes())


class ColorSums:
    """Running second moments of (1, source's RGB, result's RGB) over pairs of images."""

    def __init__(self) -> None:
        self._count = 0
        self._moments = np.zeros((7, 7))
        self._absolute = np.zeros(3)

    def add(self, source: Thumbnail, result: Thumbnail) -> None:
        one, other = (_pooled(image).reshape(-1, 3).astype(np.float64) for image in (source, result))
        samples = np.concatenate([np.ones((len(one), 1)), one, other], axis=1)
        self._count += len(one)
        self._moments += samples.T @ samples
        self._absolute += np.abs(other - one).sum(0)

    @property
    def is_empty(self) -> bool:
        return self._count == 0

    def best_fit(self) -> ColorChange:
        """The map of the source's colours that best gives the result's; the identity where there is no telling."""
        if self.is_empty:
            return ColorChange(np.eye(3), np.zeros(3))
        moments = self._moments / self._count
        prior = np.diag([0.0, *[_PRIOR_VARIANCE] * 3])
        map_to = np.linalg.solve(moments[:4, :4] + prior, moments[:4, 4:] + prior[:, 1:])
        return ColorChange(map_to[1:].T, map_to[0])

    def _rms_after(self, change: ColorChange) -> float:
        """What is left of the difference if the source had been changed so."""
        weights = np.concatenate([-change.offset[:, None], -change.matrix, np.eye(3)], axis=1)
        return float(np.sqrt(max(0.0, np.trace(weights @ self._moments @ weights.T)) / (3 * self._count)))

    def difference(self, pixels: int) -> ColorDifference:
        """`pixels`: of one picture of the source. Raises ValueError where nothing was added."""
        if self.is_empty:
            raise ValueError("no pictures were compared")
        moments = self._moments / self._count
        source, result = moments[0, 1:4], moments[0, 4:]
        variance = np.diag(moments)[1:4] - source**2
        covariance = np.diag(moments[1:4, 4:]) - source * result
        gains = np.where(variance > _FLAT_VARIANCE, covariance / np.maximum(variance, _FLAT_VARIANCE), 1.0)
        return ColorDifference(
            shift=_triple(result - source),
            gain=_triple(gains),
            absolute=_triple(self._absolute / self._count),
            mistake=self.mistake(),
            freedom=_FREEDOM / float(np.sqrt(pixels)),
        )

    def mistake(self, visible_rms: float = _VISIBLE_RMS) -> str:
        """The one that explains the difference, if that is larger than `visible_rms`; else ""."""
        rms = self._rms_after(ColorChange(np.eye(3), np.zeros(3)))
        left, name = min((self._rms_after(change), name) for name, change in MISTAKES)
        return name if rms > visible_rms and left < _EXPLAINED * rms else ""


class ColorStretches:
    """Looks for mistakes in one stretch of a film after the other: in the sums of all of it, those of a part drown.

    `found`: mistake -> indices of the pictures in the stretches that show it.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[int]] = {}
        self._sums = ColorSums()
        self._indices: list[int] = []

    def add(self, index: int, source: Thumbnail, result: Thumbnail) -> None:
        self._sums.add(source, result)
        self._indices.append(index)
        if len(self._indices) == _STRETCH:
            self.end()

    def end(self) -> None:
        """Of the stretch, where it has pictures enough to tell."""
        mistake = self._sums.mistake(_VISIBLE_IN_STRETCH_RMS) if len(self._indices) >= _STRETCH // 2 else ""
        if mistake:
            self.found.setdefault(mistake, []).extend(self._indices)
        self._sums, self._indices = ColorSums(), []


def _pooled(image: Thumbnail) -> Thumbnail:
    """Means of 4 x 4, where that goes: fine chroma that 4:2:0 cannot hold is not a colour shift."""
    rows, columns, _ = image.shape
    if rows % _POOL or columns % _POOL:
        return image
    return image.reshape(rows // _POOL, _POOL, columns // _POOL, _POOL, 3).mean((1, 3))


def _triple(values: Matrix) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


@dataclass(frozen=True, slots=True)
class ColorDifference:
    """R, G, B on the scale 0..255: mean shift, gain, mean absolute difference; and the mistake that explains it, or "".

    The gain is the slope of the regression of the result on the source, 1 where a channel hardly varies. `freedom` is
    what is allowed beyond the limits because the pictures are small, on the same scale.
    """

    shift: tuple[float, float, float]
    gain: tuple[float, float, float]
    absolute: tuple[float, float, float]
    mistake: str
    freedom: float

    @property
    def faults(self) -> tuple[str, ...]:
        found = [f"it looks as if {self.mistake}"] if self.mistake else []
        shift, gain = MAX_MEAN_SHIFT + self.freedom, MAX_GAIN_ERROR + self.freedom / 40
        difference = MAX_MEAN_DIFFERENCE + self.freedom
        if max(map(abs, self.shift)) > shift:
            found.append(f"mean R, G, B shifted by {_signed(self.shift)}, {shift:.1f} is allowed")
        if max(abs(each - 1) for each in self.gain) > gain:
            gains = ", ".join(f"{each:.3f}" for each in self.gain)
            found.append(f"contrast of R, G, B times {gains}, within {gain:.0%} is allowed")
        if max(self.absolute) > difference:
            found.append(f"mean difference {max(self.absolute):.2f}, {difference:.1f} is allowed")
        return tuple(found)

    def __str__(self) -> str:
        return f"R, G, B {_signed(self.shift)}"


def _signed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:+.2f}" for value in values)
