"""Tiles cover a frame exactly, lie on window boundaries, and give back what the whole frame gives."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.engine.tiling import apply_tiled, fixed_plan, plan_tiles, smallest_tile, split_axis


@given(
    length=st.integers(1, 5000),
    extra=st.integers(0, 600),
    before=st.integers(0, 90),
    after=st.integers(0, 130),
    align=st.sampled_from([2, 8, 16]),
)
def test_cores_cover_an_axis_once(length: int, extra: int, before: int, after: int, align: int) -> None:
    tile = smallest_tile((before, after), align) + extra
    spans = split_axis(length, tile, (before, after), align)
    assert spans[0].core_start == 0
    assert spans[-1].core_stop == spans[-1].stop == length
    for span in spans:
        assert span.start % align == 0
        assert span.start <= span.core_start < span.core_stop <= span.stop <= length
        assert span.core_start - span.start >= before or span.start == 0
        assert span.stop - span.core_stop >= after or span.stop == length
        assert span.stop - span.start <= tile
    assert len({-(-(span.stop - span.start) // align) for span in spans}) == 1, "padded they are alike"
    for left, right in itertools.pairwise(spans):
        assert left.core_stop == right.core_start


def test_a_tile_without_room_for_a_core_is_refused() -> None:
    with pytest.raises(ValueError, match="no core"):
        split_axis(1000, 200, (100, 100), 8)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(10_000, 2_000_000), st.sampled_from([200, 1000, 16_384]))
def test_plans_respect_the_pixel_budget_and_the_longest_side(
    height: int, width: int, max_pixels: int, max_side: int
) -> None:
    halo, align = (22, 42), 8
    plan = plan_tiles(height, width, max_pixels=max_pixels, max_side=max_side, halo=halo, align=align)
    floor = smallest_tile(halo, align)
    for row in plan.rows:
        for column in plan.columns:
            h, w = row.stop - row.start, column.stop - column.start
            assert h * w <= max(max_pixels, floor * floor)
            assert max(h, w) <= max_side
    fits = height * width <= max_pixels and max(height, width) <= max_side
    assert (plan.count == 1) == (fits or (height <= floor and width <= floor))


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 2, 3]))
def test_tiled_equals_whole_for_a_local_network(height: int, width: int, scale: int) -> None:
    def network(x: torch.Tensor) -> torch.Tensor:  # reaches 3 pixels left/up and 5 right/down
        padded = torch.nn.functional.pad(x, (3, 5, 3, 5))
        y = torch.nn.functional.avg_pool2d(padded, 9, stride=1)
        return y.repeat_interleave(scale, -1).repeat_interleave(scale, -2)

    image = torch.rand(1, 3, height, width)
    plan = plan_tiles(height, width, max_pixels=24 * 32, max_side=200, halo=(3, 5), align=8)
    torch.testing.assert_close(apply_tiled(network, image, plan, scale), network(image))


@given(length=st.integers(1, 3000), core=st.integers(1, 16), halo=st.integers(1, 5), align=st.sampled_from([2, 8, 16]))
def test_a_fixed_grid_covers_an_axis_once_with_tiles_of_one_size(length: int, core: int, halo: int, align: int) -> None:
    core, halo = core * align, halo * align
    spans = fixed_plan(length, 1, core, halo, align).rows
    assert spans[0].core_start == 0
    assert spans[-1].core_stop == spans[-1].stop == length
    for span in spans:
        assert span.start % align == 0
        assert span.start <= span.core_start < span.core_stop <= span.stop <= length
        assert span.core_start - span.start >= halo or span.start == 0
        assert span.stop - span.core_stop >= halo or span.stop == length
        assert len(spans) == 1 or -(-(span.stop - span.start) // align) * align == core + 2 * halo
    for left, right in itertools.pairwise(spans):
        assert left.core_stop == right.core_start
