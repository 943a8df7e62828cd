"""A moving test pattern, made without a decoder: the source of benchmarks and of tests that count frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipt_stream.frame import END, End, Frame, Planes, Samples, VideoFormat

_INDEX_BITS: Final = 16
_TRAVEL: Final = 64  # luma lines and columns that the window wanders over before it returns


class SyntheticSource:
    """A window wandering over a fixed texture with edges, gradients and grain; every picture differs from the last.

    Deterministic, and a picture costs one copy. The low 16 bits of the frame index stand in the top left corner as
    black and white squares (pictures at least 16 wide), so that a picture can be recognised after a lossy encoder:
    see `stamped_index`. pts is the index times one frame's duration; without a `frame_rate`, 30 fps.
    `frames` None means that it never ends.
    """

    def __init__(self, format: VideoFormat, frames: int | None) -> None:
        self.format = format
        self.frame_count_estimate = frames
        self.notes: list[str] = []
        self.frames_concealed = 0
        self._frames = frames
        self._next_index = 0
        self._duration = max(1, round(1 / ((format.frame_rate or Fraction(30)) * format.time_base)))
        self._textures = [_texture(h, w, n, format) for n, (h, w) in enumerate(format.plane_shapes)]

    def read(self, into: Planes) -> Frame | End:
        index = self._next_index
        if self._frames is not None and index >= self._frames:
            return END
        self._next_index += 1
        step = _triangle(index)
        for plane, texture, travel in zip(into, self._textures, (step, step // 2, step // 2), strict=True):
            height, width = plane.shape
            np.copyto(plane, texture[travel : travel + height, travel : travel + width])
        _stamp(into[0], index, self.format.bit_depth)
        pts = index * self._duration
        return Frame(index=index, pts=pts, duration=self._duration, planes=into)

    def close(self) -> None:
        self._frames = 0


def stamped_index(luma: Samples, bit_depth: int) -> int:
    """The low 16 bits of the frame index that SyntheticSource drew into `luma` (H, W)."""
    cell = _cell_size(luma)
    middle = 1 << (bit_depth - 1)
    squares = luma[:cell, : cell * _INDEX_BITS].reshape(cell, _INDEX_BITS, cell).mean(axis=(0, 2))
    return sum(1 << bit for bit in range(_INDEX_BITS) if squares[bit] > middle)


def _triangle(index: int) -> int:
    """0, 1, ... 63, 64, 63, ... so that the window moves and comes back without a jump."""
    phase = index % (2 * _TRAVEL)
    return phase if phase <= _TRAVEL else 2 * _TRAVEL - phase


def _texture(height: int, width: int, plane: int, format: VideoFormat) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A still larger than the plane by `_TRAVEL`: gradient, fine and coarse waves, checks and grain."""
    rng = np.random.default_rng(plane)
    y = np.arange(height + _TRAVEL, dtype=np.float32)[:, np.newaxis]
    x = np.arange(width + _TRAVEL, dtype=np.float32)[np.newaxis, :]
    waves = np.sin(x * 0.9 + y * 0.35) + np.sin(x * y * 0.002) + np.sin((x - y) * 0.05 + plane)
    checks = ((x // 24 + y // 24) % 2) - 0.5
    picture: NDArray[np.floating] = 0.5 + 0.09 * waves + 0.15 * checks + 0.1 * np.sin(y * 0.01 + plane)
    picture += rng.normal(0, 0.015, picture.shape).astype(np.float32)
    low, high = (16, 235) if format.color_range == "studio" else (0, 255)
    scale = 1 << (format.bit_depth - 8)
    samples = np.clip((low + picture * (high - low)) * scale, low * scale, high * scale)
    return samples.astype(np.uint8) if format.bit_depth == 8 else samples.astype(np.uint16)


def _cell_size(luma: Samples) -> int:
    height, width = luma.shape
    return max(1, min(width // _INDEX_BITS, height, 16))


def _stamp(luma: Samples, index: int, bit_depth: int) -> None:
    cell = _cell_size(luma)
    if luma.shape[1] < cell * _INDEX_BITS:
        return
    white, black = 235 << (bit_depth - 8), 16 << (bit_depth - 8)
    for bit in range(_INDEX_BITS):
        luma[:cell, bit * cell : (bit + 1) * cell] = white if index >> bit & 1 else black
