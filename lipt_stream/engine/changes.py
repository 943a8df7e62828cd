"""Which tiles of a frame differ from what they were last computed from: on the host, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lipt_stream.engine.tiling import Span, TilePlan, window
from lipt_stream.frame import Planes, Samples, VideoFormat

Mask: TypeAlias = NDArray[np.bool_]
"""(rows, columns) of a TilePlan: one truth for each of its tiles."""

BLOCK: Final = 8
"""Pixels to a side of the blocks that are compared. Tiles begin on multiples of it."""


class Changes:
    """Compares each frame with the one before in whole words, and adds up blocks of 8x8 pixels to tiles.

    With a threshold, a tile that differs from the frame before is then compared with a copy of what it was computed
    from; so small changes cannot add up unseen. Memory held: three frames, and with a threshold what the tiles read.
    """

    def __init__(self, source: VideoFormat, tiles: TilePlan, threshold: int) -> None:
        """`threshold`: how far a sample may be off, in codes of 8 bits, for its tile to count as unchanged."""
        self._tiles = tiles
        self._threshold = threshold << source.bit_depth - 8
        sides = BLOCK, BLOCK // 2, BLOCK // 2
        self._planes = tuple(
            _PlaneBlocks(shape, source.dtype, side) for shape, side in zip(source.plane_shapes, sides, strict=True)
        )
        self._tops, self._bottoms = _blocks(tiles.rows)
        self._lefts, self._rights = _blocks(tiles.columns)
        self._computed_from: dict[tuple[int, int], Planes] = {}
        self._is_first = True

    def forget(self) -> None:
        """Let every tile of the next frame count as changed."""
        self._is_first = True
        self._computed_from.clear()

    def seen(self, planes: Planes) -> Mask:
        """The tiles that changed, in a frame that follows the one of the last call. Those must then be computed."""
        changed = self._differing(planes)
        if self._is_first:
            changed[:] = True
            self._is_first = False
        elif self._threshold:
            for row, column in places(changed):
                changed[row, column] = self._exceeds(planes, row, column)
        return changed

    def computed(self, planes: Planes, tiles: Mask) -> None:
        """`tiles` are computed from these planes."""
        if self._threshold:
            for row, column in places(tiles):
                self._computed_from[row, column] = _copied(self._window(planes, row, column))

    def _differing(self, planes: Planes) -> Mask:
        """The tiles with any sample other than in the last frame that was seen."""
        luma, *chroma = (blocks.differing(plane) for blocks, plane in zip(self._planes, planes, strict=True))
        height, width = luma.shape
        for differing in chroma:
            luma |= differing[:height, :width]
        sums = np.zeros((height + 1, width + 1), np.int32)  # of the blocks above and to the left
        np.cumsum(np.cumsum(luma, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
        above, below = sums[self._tops], sums[self._bottoms]
        count = below[:, self._rights] - below[:, self._lefts] - above[:, self._rights] + above[:, self._lefts]
        return count > 0

    def _exceeds(self, planes: Planes, row: int, column: int) -> bool:
        computed_from = self._computed_from[row, column]
        return any(
            int((np.maximum(now, then) - np.minimum(now, then)).max()) > self._threshold
            for now, then in zip(self._window(planes, row, column), computed_from, strict=True)
        )

    def _window(self, planes: Planes, row: int, column: int) -> Planes:
        """What a tile reads."""
        return window(planes, self._tiles.rows[row].read, self._tiles.columns[column].read)


class _PlaneBlocks:
    """One plane of the last frame, and which blocks of the next differ: of 8x8 samples in luma, of 4x4 in chroma."""

    def __init__(self, shape: tuple[int, int], dtype: type[np.uint8] | type[np.uint16], side: int) -> None:
        self._height, self._width = shape
        self._side = side
        padded = tuple(-(-length // BLOCK) * BLOCK for length in shape)  # whole words and whole blocks
        self._now, self._before = np.zeros(padded, dtype), np.zeros(padded, dtype)
        self._words = np.zeros((padded[0], padded[1] * self._now.itemsize // 8), np.uint64)

    def differing(self, plane: Samples) -> Mask:
        self._now, self._before = self._before, self._now
        self._now[: self._height, : self._width] = plane
        np.bitwise_xor(self._now.view(np.uint64), self._before.view(np.uint64), out=self._words)
        height, width = self._words.shape
        rows = np.bitwise_or.reduce(self._words.reshape(height // self._side, self._side, width), axis=1)
        samples = rows.view(self._now.dtype)
        return samples.reshape(len(rows), -1, self._side).any(axis=-1)


def places(tiles: Mask) -> list[tuple[int, int]]:
    """Row and column of each tile that is set."""
    rows, columns = tiles.nonzero()
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _blocks(spans: Sequence[Span]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first block of each span, and the one behind its last."""
    starts = np.array([span.start for span in spans], np.intp)
    stops = np.array([span.stop for span in spans], np.intp)
    return starts // BLOCK, -(-stops // BLOCK)


def _copied(planes: Planes) -> Planes:
    y, u, v = (plane.copy() for plane in planes)
    return y, u, v
