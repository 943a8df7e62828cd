"""A moving test pattern, made without a decoder: the source of benchmarks and of tests that count frames, and a barcode
from which a test, or a page, reads when a picture was made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipt_stream.frame import END, End, Frame, Planes, Samples, VideoFormat

_INDEX_BITS: Final = 16
_STAMP_SIDE: Final = 32  # cells that would fill the width
_STAMP_CHECK: Final = 0xA5C3  # so that neither black nor white all over is a stamp
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


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which picture, and when it was made: the low 16 bits of its index, and those 32 of Unix time in milliseconds."""

    index: int
    unix_ms: int

    def age_ms(self, unix_seconds: float) -> int:
        """How long before `unix_seconds` it was made; right for 24 days."""
        return (int(unix_seconds * 1000) - self.unix_ms + (1 << 31)) % (1 << 32) - (1 << 31)


def stamp(luma: Samples, index: int, unix_seconds: float, bit_depth: int) -> None:
    """Draws a barcode at the lower left of `luma` (H, W), W at least 64, over an eighth of its width in height.

    Four rows of 16 cells, black or white, each W/32 wide and high, so that it is read alike from the picture and from
    any enlargement of it. From top to bottom: index; time, low half; time, high half; the exclusive or of the three
    with 0xA5C3. Bit 0 stands at the left.
    """
    height, width = luma.shape
    unix_ms = int(unix_seconds * 1000)
    rows = (index & 0xFFFF, unix_ms & 0xFFFF, unix_ms >> 16 & 0xFFFF)
    white, black = 235 << (bit_depth - 8), 16 << (bit_depth - 8)
    edges = [round(n * width / _STAMP_SIDE) for n in range(_INDEX_BITS + 1)]
    for line, row in enumerate((*rows, rows[0] ^ rows[1] ^ rows[2] ^ _STAMP_CHECK)):
        top, bottom = (height - edges[4 - line], height - edges[3 - line])
        for bit in range(_INDEX_BITS):
            luma[top:bottom, edges[bit] : edges[bit + 1]] = white if row >> bit & 1 else black


def read_stamp(luma: Samples, bit_depth: int) -> Stamp | None:
    """What `stamp` drew into `luma` (H, W) before it was encoded or enlarged; None where there is none to be read."""
    height, width = luma.shape
    cell, middle = width / _STAMP_SIDE, 1 << (bit_depth - 1)
    rows = [0, 0, 0, 0]
    for line in range(4):
        top = round(height - (4 - line) * cell + cell / 4)
        for bit in range(_INDEX_BITS):
            left = round((bit + 0.25) * cell)
            core = luma[top : max(top + 1, round(top + cell / 2)), left : max(left + 1, round(left + cell / 2))]
            rows[line] |= int(core.size > 0 and core.mean() > middle) << bit
    index, low, high, check = rows
    return Stamp(index, high << 16 | low) if check == index ^ low ^ high ^ _STAMP_CHECK else None


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
