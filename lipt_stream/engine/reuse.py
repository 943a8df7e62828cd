"""Static content is not computed again: a tile whose input has not changed keeps its last result.

The frame is cut by a fixed grid into tiles of 64x64 pixels that keep their inner 48x48. That is less than a network's
receptive field (whole halos would be larger than most things that move), and enough: benchmarks/tile_reuse.py measures
tiled against whole results over halos and tile sizes. Tiles begin on window boundaries.

With a threshold of 0 the result is, to the bit, what computing every tile of every frame anew would give. Above 0 it is
that of a canvas (engine/canvas.py), a picture that is nowhere further than the threshold from the frame.

Where much changes, tiles cost more than the whole frame: for their halos, and for being many. So after PATIENCE frames
in a row in which the changed tiles read more than MOST of what the frame has, frames are computed whole, and after
PATIENCE frames in a row in which they would read less than LITTLE of it, in tiles again. Both recompute everything, and
change the picture by as much as tiled results differ from whole ones. In between a single frame that is new all over (a
keyframe of a camera's encoder) is computed in tiles, at two to three times the price. A frame in which nothing at all
has changed is never computed, in either way; any other is computed whole by Lanczos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from lipt_stream.engine.canvas import Canvas, Mask, places, tiles_reading
from lipt_stream.engine.color_math import DevicePlanes
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.planes import ImageUpscaler, PlanesUpscaler, copy_planes, new_planes, part
from lipt_stream.engine.tiling import Span, fixed_plan, window
from lipt_stream.frame import Planes

CORE: Final = 48
HALO: Final = 8
ALIGN: Final = 8  # the window of every network that ships
PATIENCE: Final = 4
MOST: Final = 0.75
LITTLE: Final = 0.4
BATCH: Final = {"cuda": 16, "cpu": 1}
"""Tiles that a device computes at a time. On a CPU OpenVINO takes the images of a batch one by one."""


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do for one frame. `changed` says which tiles are computed, None that the frame is, whole.

    Shares are pixels that are read / pixels of the frame: 0 where nothing changed, above 1 with many halos.
    """

    tiles: int
    reused: int
    share: float  # that is computed
    network_share: float  # that a network would compute: another one only for Lanczos
    rows: tuple[slice, ...]  # of luma, that are read
    changed: Mask | None


def whole_frame(height: int, tiles: int = 1, network_share: float = 1.0) -> Work:
    """The work for a frame of so many rows that is computed whole, though it has so many tiles."""
    return Work(tiles, 0, 1.0, network_share, (slice(0, height),), None)


class WholeOrTiles:
    """The choice between them, with hysteresis: see the head of this file."""

    def __init__(self) -> None:
        self._in_tiles = False
        self._frames_against = 0

    def in_tiles(self, share: float) -> bool:
        """Whether to compute in tiles, given the share that the changed tiles of this frame would read."""
        is_against = share > MOST if self._in_tiles else share < LITTLE
        self._frames_against = self._frames_against + 1 if is_against else 0
        if self._frames_against == PATIENCE:
            self._in_tiles = not self._in_tiles
            self._frames_against = 0
        return self._in_tiles


class ChangedTiles:
    """Computes of each frame what has changed, and remembers the result.

    Used by one thread: `plan` on the host, before the upload; then `run` on the stream of the network.
    """

    def __init__(self, frames: PlanesUpscaler, threshold: int) -> None:
        """`frames` computes whole frames. `threshold`: by how much a sample may be off, in codes of 8 bits, before its
        block of 8x8 pixels counts as changed."""
        source = frames.source
        self._source = source
        self._scale = frames.target.width // source.width
        self._frames = frames
        self._plan = fixed_plan(source.height, source.width, CORE, HALO, ALIGN)
        self._canvas = Canvas(source, threshold)
        self._choice = WholeOrTiles()
        self._result = new_planes(frames.target, frames.device)
        self._is_tiled = False  # the result, as a whole
        self._is_valid = False
        batch = BATCH[frames.device.type]
        self._tiles: dict[tuple[int, int], _TileUpscaler] = {}
        for row in self._plan.rows:
            for column in self._plan.columns:
                size = _size(row, column)
                if size not in self._tiles:
                    video = part(source, row.read, column.read)
                    self._tiles[size] = _TileUpscaler(PlanesUpscaler(video, self._scale, frames.device, batch=batch))

    def forget(self) -> None:
        """Compute everything in the next frame: the upscaler is another one, or the last frame failed."""
        self._is_valid = False

    def plan(self, upscaler: ImageUpscaler, planes: Planes) -> Work:
        """What of a frame has to be computed. `run` must follow on the same frame; where it fails, all is forgotten.

        Where tiles are to be computed, and the threshold is not 0, `planes` become the canvas.
        """
        blocks = self._canvas.differing(planes)
        blocks |= not self._is_valid
        self._is_valid = False  # until it has run
        changed = tiles_reading(blocks, self._plan)
        share = self._share(changed)
        in_tiles = self._choice.in_tiles(share)
        if not changed.any():
            return self._work(changed)
        if isinstance(upscaler, LanczosUpscaler):  # a few tiles take as long as all of it, and give the same result
            self._canvas.take(planes)
            return self._whole_frame(share if in_tiles else 1.0)
        if in_tiles and self._is_tiled:
            self._canvas.take_blocks(planes, blocks)
            return self._work(changed)
        self._canvas.take(planes)
        return self._work(np.ones_like(changed)) if in_tiles else self._whole_frame(1.0)

    def run(self, upscaler: ImageUpscaler, work: Work, planes: DevicePlanes, result: DevicePlanes) -> None:
        """Fill `result` with the upscaled frame: what `work` asks for from `planes`, the rest from memory."""
        if work.changed is None:
            self._frames.run(upscaler, [planes], [self._result])
            self._is_tiled = False
        elif work.changed.any():
            self._run_tiles(upscaler, work.changed, planes)
            self._is_tiled = True
        copy_planes(self._result, result)
        self._is_valid = True

    def warm_up(self, upscaler: ImageUpscaler) -> None:
        for tile in self._tiles.values():
            tile.planes.warm_up(upscaler)

    def _run_tiles(self, upscaler: ImageUpscaler, changed: Mask, planes: DevicePlanes) -> None:
        by_size: dict[tuple[int, int], list[tuple[Span, Span]]] = {}
        for i, j in places(changed):
            row, column = self._plan.rows[i], self._plan.columns[j]
            by_size.setdefault(_size(row, column), []).append((row, column))
        for size, tiles in by_size.items():
            self._tiles[size].run(upscaler, tiles, planes, self._result)

    def _work(self, changed: Mask) -> Work:
        reused = self._plan.count - int(np.count_nonzero(changed))
        rows = tuple(self._plan.rows[row].read for row in sorted({row for row, _ in places(changed)}))
        share = self._share(changed)
        return Work(self._plan.count, reused, share, share, rows, changed)

    def _whole_frame(self, network_share: float) -> Work:
        return whole_frame(self._source.height, self._plan.count, network_share)

    def _share(self, changed: Mask) -> float:
        """Pixels that these tiles read, of the frame's."""
        heights = np.array([row.stop - row.start for row in self._plan.rows])
        widths = np.array([column.stop - column.start for column in self._plan.columns])
        return float(heights @ changed @ widths) / (self._source.height * self._source.width)


class _TileUpscaler:
    """All tiles of one size."""

    def __init__(self, planes: PlanesUpscaler) -> None:
        self.planes = planes
        self._scale = planes.target.width // planes.source.width
        self._results = [new_planes(planes.target, planes.device) for _ in range(planes.batch)]

    def run(
        self, upscaler: ImageUpscaler, tiles: list[tuple[Span, Span]], frame: DevicePlanes, result: DevicePlanes
    ) -> None:
        """Compute `tiles` of `frame`, and put what they keep into `result`."""
        for start in range(0, len(tiles), self.planes.batch):
            batch = tiles[start : start + self.planes.batch]
            pictures = [window(frame, row.read, column.read) for row, column in batch]
            self.planes.run(upscaler, pictures, self._results[: len(batch)])
            for (row, column), enlarged in zip(batch, self._results, strict=False):
                kept = window(enlarged, *(_scaled(span.kept, span.start, self._scale) for span in (row, column)))
                place = window(result, *(_scaled(span.kept, 0, self._scale) for span in (row, column)))
                copy_planes(kept, place)


def _scaled(pixels: slice, origin: int, scale: int) -> slice:
    return slice((pixels.start - origin) * scale, (pixels.stop - origin) * scale)


def _size(row: Span, column: Span) -> tuple[int, int]:
    return row.stop - row.start, column.stop - column.start
