"""The picture that the network last saw, and what of a new frame differs from it: on the host, before any upload."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lipt_stream.engine.tiling import Span, TilePlan
from lipt_stream.frame import Planes, VideoFormat

Mask: TypeAlias = NDArray[np.bool_]
"""(rows, columns): one truth for each block, or for each tile of a plan."""

BLOCK: Final = 8
"""Pixels to a side of the blocks that are compared and taken over. Tiles begin on multiples of it."""


class Canvas:
    """A picture that follows a film block by block: nowhere further than a threshold from the frame taken last.

    A block that has moved by more is replaced, all others stay as they were; so small changes cannot add up unseen.
    With a threshold of 0 the canvas is the frame. Memory held: two frames.
    """

    def __init__(self, video: VideoFormat, threshold: int) -> None:
        """`threshold`: how far a sample may be off, in codes of 8 bits."""
        self._planes = tuple(np.zeros(shape, video.dtype) for shape in video.plane_shapes)
        self._threshold = threshold << video.bit_depth - 8
        self._sides = BLOCK, BLOCK // 2, BLOCK // 2  # of a block, in samples of its plane
        self._blocks = -(-video.height // BLOCK), -(-video.width // BLOCK)
        self._differing = tuple(_padded(shape) for shape in video.plane_shapes)

    def differing(self, planes: Planes) -> Mask:
        """The blocks of a frame in which a sample of any plane is further than the threshold from the canvas."""
        height, width = self._blocks
        blocks = np.zeros(self._blocks, bool)
        for plane, canvas, differing, side in zip(planes, self._planes, self._differing, self._sides, strict=True):
            where = differing[: plane.shape[0], : plane.shape[1]]
            if self._threshold:
                np.greater(np.maximum(plane, canvas) - np.minimum(plane, canvas), self._threshold, out=where)
            else:
                np.not_equal(plane, canvas, out=where)
            blocks |= _any_in_blocks(differing, side)[:height, :width]
        return blocks

    def take(self, planes: Planes) -> None:
        """Make the frame the canvas."""
        for plane, canvas in zip(planes, self._planes, strict=True):
            canvas[:] = plane

    def take_blocks(self, planes: Planes, blocks: Mask) -> None:
        """Take over these blocks of a frame, and make the frame the canvas: outside of them `planes` are overwritten,
        where the threshold is not 0."""
        if not self._threshold:
            self.take(planes)
            return
        for plane, canvas, side in zip(planes, self._planes, self._sides, strict=True):
            where = blocks.repeat(side, axis=0).repeat(side, axis=1)[: plane.shape[0], : plane.shape[1]]
            np.copyto(canvas, plane, where=where)
            plane[:] = canvas


def tiles_reading(blocks: Mask, plan: TilePlan) -> Mask:
    """The tiles of a plan that read any of these blocks."""
    height, width = blocks.shape
    sums = np.zeros((height + 1, width + 1), np.int32)  # of the blocks above and to the left
    np.cumsum(np.cumsum(blocks, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    tops, bottoms = _block_ends(plan.rows)
    lefts, rights = _block_ends(plan.columns)
    above, below = sums[tops], sums[bottoms]
    return below[:, rights] - below[:, lefts] - above[:, rights] + above[:, lefts] > 0


def places(tiles: Mask) -> list[tuple[int, int]]:
    """Row and column of each tile that is set."""
    rows, columns = tiles.nonzero()
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _block_ends(spans: Sequence[Span]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first block that each span reads, and the one behind its last."""
    starts = np.array([span.start for span in spans], np.intp)
    stops = np.array([span.stop for span in spans], np.intp)
    return starts // BLOCK, -(-stops // BLOCK)


def _padded(shape: tuple[int, int]) -> Mask:
    """A truth for each sample, in whole blocks and whole words of 8 bytes; those beyond the plane stay false."""
    height, width = (-(-length // BLOCK) * BLOCK for length in shape)
    return np.zeros((height, width), bool)


def _any_in_blocks(samples: Mask, side: int) -> Mask:
    """Whether any sample of a block is true. Rows are joined in words of eight samples: bytes would take far longer."""
    height, width = samples.shape
    words = samples.view(np.uint64).reshape(height // side, side, width // 8)
    rows = np.bitwise_or.reduce(words, axis=1).view(bool)
    return rows.reshape(height // side, width // side, side).any(axis=-1)
