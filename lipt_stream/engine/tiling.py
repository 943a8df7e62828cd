"""Cutting a frame into tiles that fit in memory, and putting their results together again.

An output pixel of LIPT depends on input pixels no further away than its receptive field. A tile therefore carries a
halo of that width, its origin lies on a window boundary (so that windows fall as they do in the whole frame), and only
its core is kept. Inside the frame this is exact up to floating-point rounding. At the frame's right and bottom edges it
is not: there the whole frame's windows wrap around to the opposite edge, and a tile's wrap around to its own.
`benchmarks/seams.py` states what that costs in dB.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from lipt_stream.frame import Samples

T = TypeVar("T", Tensor, Samples)


class Span(NamedTuple):
    """One tile along one axis, in input pixels: it reads [start, stop) and keeps [core_start, core_stop)."""

    start: int
    stop: int
    core_start: int
    core_stop: int

    @property
    def read(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        return slice(self.core_start, self.core_stop)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tiles of a frame: the product of row spans and column spans."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def count(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def pixels_read(self) -> int:
        """Input pixels that the network sees in all; more than the frame's, by the halos."""
        return sum(r.stop - r.start for r in self.rows) * sum(c.stop - c.start for c in self.columns)


def split_axis(length: int, tile: int, halo: tuple[int, int], align: int) -> tuple[Span, ...]:
    """Cover [0, length) with tiles that read `tile` pixels, down to `align` (the last one up to align - 1 fewer).

    `halo` is how far the network reaches to the left/top and to the right/bottom. Cores are disjoint and cover
    everything; every start is a multiple of `align`. Raises ValueError where a tile has no room for a core.
    """
    if length <= tile:
        return (Span(0, length, 0, length),)
    before, after = halo
    tile -= tile % align
    if tile < before + after + align:
        raise ValueError(f"a tile of {tile} has no core beside a halo of {before} + {after}")
    spans: list[Span] = []
    core_start = start = 0
    while start + tile < length:
        core_stop = start + tile - after
        spans.append(Span(start, start + tile, core_start, core_stop))
        core_start = core_stop
        start = (core_stop - before) // align * align
    # The last tile is moved back so that all tiles, padded, have one size: a compiled network is compiled once.
    last_start = -(-(length - tile) // align) * align
    spans.append(Span(last_start, length, core_start, length))
    return tuple(spans)


def smallest_tile(halo: tuple[int, int], align: int) -> int:
    """The smallest tile side that leaves a core: halos and two windows, on a window boundary."""
    need = sum(halo) + 2 * align
    return -(-need // align) * align


def plan_tiles(
    height: int, width: int, *, max_pixels: int, max_side: int, halo: tuple[int, int], align: int
) -> TilePlan:
    """The plan that reads the fewest pixels among those whose tiles hold at most `max_pixels`.

    No tile is longer than `max_side`, and none smaller than `smallest_tile`, even where that exceeds `max_pixels`.
    """
    if height * width <= max_pixels and max(height, width) <= max_side:
        return TilePlan((Span(0, height, 0, height),), (Span(0, width, 0, width),))
    floor = smallest_tile(halo, align)
    least_height, least_width = min(floor, height), min(floor, width)
    longest_height, longest_width = (side if side <= max_side else max(floor, max_side) for side in (height, width))
    plans: list[TilePlan] = []
    for tile_width in [*range(least_width, longest_width, 4 * align), longest_width]:
        tile_height = min(max_pixels // tile_width, longest_height)
        if tile_height < least_height and tile_width > least_width:
            break  # too wide to leave a core in the other direction
        rows = split_axis(height, max(tile_height, least_height), halo, align)
        plans.append(TilePlan(rows, split_axis(width, tile_width, halo, align)))
    return min(plans, key=lambda plan: plan.pixels_read)


def fixed_plan(height: int, width: int, core: int, halo: int, align: int) -> TilePlan:
    """Tiles that all read core + 2 * halo pixels a side once padded to `align`, of which both are multiples.

    Inside the frame a tile keeps `core` pixels a side. The last one is moved back, so reads and may keep more of what
    others keep; a frame smaller than a tile is one. Cores are disjoint and cover everything, every start is a multiple
    of `align`, and a core is nowhere nearer than `halo` to its tile's edge save at the frame's.
    """
    rows, columns = (split_axis(length, core + 2 * halo, (halo, halo), align) for length in (height, width))
    return TilePlan(rows, columns)


def window(planes: tuple[T, T, T], rows: slice, columns: slice) -> tuple[T, T, T]:
    """A part of a 4:2:0 picture, as views. Rows and columns count in luma samples and begin at even ones."""
    y, u, v = planes
    chroma = _halved(rows), _halved(columns)
    return y[rows, columns], u[chroma], v[chroma]


def _halved(pixels: slice) -> slice:
    return slice(pixels.start // 2, (pixels.stop + 1) // 2)


def apply_tiled(network: Callable[[Tensor], Tensor], images: Tensor, plan: TilePlan, scale: int) -> Tensor:
    """Run `network` over `images` (N, 3, H, W) tile by tile -> (N, 3, scale*H, scale*W), in the network's dtype."""
    if plan.count == 1:
        return network(images)
    n, c, h, w = images.shape
    result: Tensor | None = None
    for row in plan.rows:
        for column in plan.columns:
            # contiguous: runtimes outside torch read the tile's memory as one block
            tile = images[:, :, row.start : row.stop, column.start : column.stop].contiguous()
            part = network(tile)
            if result is None:
                result = torch.empty((n, c, h * scale, w * scale), dtype=part.dtype, device=part.device)
            _place(result, part, row, column, scale)
    assert result is not None
    return result


def _place(result: Tensor, part: Tensor, row: Span, column: Span, scale: int) -> None:
    core = part[
        :,
        :,
        (row.core_start - row.start) * scale : (row.core_stop - row.start) * scale,
        (column.core_start - column.start) * scale : (column.core_stop - column.start) * scale,
    ]
    result[
        :,
        :,
        row.core_start * scale : row.core_stop * scale,
        column.core_start * scale : column.core_stop * scale,
    ] = core
