"""What changed: against looking at every block and tile one by one, and at the very edge of a halo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine.canvas import BLOCK, Canvas, Mask, tiles_reading
from lipt_stream.engine.tiling import TilePlan, fixed_plan, window
from lipt_stream.frame import PixFmt, Planes, VideoFormat

CORE, HALO, ALIGN = 16, 8, 8

Edit = tuple[int, int, int, int]  # plane, row, column, by how many codes


def plan_of(video: VideoFormat) -> TilePlan:
    return fixed_plan(video.height, video.width, CORE, HALO, ALIGN)


def copied(planes: Planes) -> Planes:
    y, u, v = (plane.copy() for plane in planes)
    return y, u, v


def edited(planes: Planes, edits: list[Edit], top: int) -> Planes:
    changed = copied(planes)
    for index, row, column, codes in edits:
        plane = changed[index]
        place = row % plane.shape[0], column % plane.shape[1]
        plane[place] = np.clip(int(plane[place]) + codes, 0, top)
    return changed


def block_of(planes: Planes, row: int, column: int) -> Planes:
    """Views of one block."""
    top, left = row * BLOCK, column * BLOCK
    return window(planes, slice(top, top + BLOCK), slice(left, left + BLOCK))


def is_off(now: Planes, then: Planes, threshold: int) -> bool:
    return any((np.abs(a.astype(int) - b) > threshold).any() for a, b in zip(now, then, strict=True))


@settings(max_examples=60)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 70),
    pix_fmt=st.sampled_from(["yuv420p", "yuv420p10le"]),
    threshold=st.sampled_from([0, 0, 1, 3]),
    frames=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 99), st.integers(0, 99), st.integers(-9, 9)), max_size=4),
        max_size=8,
    ),
)
def test_it_finds_and_takes_what_looking_one_by_one_finds(
    width: int, height: int, pix_fmt: PixFmt, threshold: int, frames: list[list[Edit]]
) -> None:
    video = VideoFormat(width=width, height=height, pix_fmt=pix_fmt)
    plan, canvas = plan_of(video), Canvas(video, threshold)
    threshold <<= video.bit_depth - 8
    planes = video.new_planes()
    expected = copied(planes)
    for edits in frames:
        planes = edited(planes, edits, 2**video.bit_depth - 1)
        blocks = canvas.differing(planes)
        for row, column in np.ndindex(blocks.shape):
            now, then = block_of(planes, row, column), block_of(expected, row, column)
            assert blocks[row, column] == is_off(now, then, threshold)
        tiles = tiles_reading(blocks, plan)
        marked = copied(expected)
        for row, column in zip(*blocks.nonzero(), strict=True):
            for part, mark in zip(block_of(planes, row, column), block_of(marked, row, column), strict=True):
                mark[:] = part
        for i, row in enumerate(plan.rows):
            for j, column in enumerate(plan.columns):
                now, then = (window(each, row.read, column.read) for each in (marked, expected))
                assert tiles[i, j] == is_off(now, then, 0), "a tile is computed again if what it reads has changed"
        expected = marked
        taken = copied(planes)
        canvas.take_blocks(taken, blocks)
        for a, b, c in zip(taken, expected, planes, strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.abs(a.astype(int) - c).max() <= threshold
        assert not canvas.differing(planes).any()


@pytest.mark.parametrize("threshold", [0, 2])
def test_a_pixel_at_the_edge_of_the_halo_counts_and_one_beyond_does_not(threshold: int) -> None:
    video = VideoFormat(width=96, height=80)
    plan, canvas = plan_of(video), Canvas(video, threshold)
    row, column = plan.rows[1], plan.columns[2]

    def seen(planes: Planes) -> Mask:
        return tiles_reading(canvas.differing(planes), plan)

    for y, x, inside in [
        (row.start, column.start, True),
        (row.stop - 1, column.stop - 1, True),
        (row.start - 1, column.start, False),
        (row.start, column.start - 1, False),
        (row.stop, column.start, False),
        (row.start, column.stop, False),
    ]:
        for plane, part in ((0, 1), (1, 2), (2, 2)):
            planes = video.new_planes()
            planes[plane][y // part, x // part] = 3
            assert seen(planes)[1, 2] == inside, (y, x, plane)


def test_small_changes_do_not_add_up_unseen() -> None:
    """A fade of a code a frame: with a threshold of 3 every fourth frame is taken over."""
    video = VideoFormat(width=32, height=32)
    canvas, planes = Canvas(video, 3), video.new_planes()
    found = []
    for _ in range(13):
        blocks = canvas.differing(planes)
        canvas.take_blocks(copied(planes), blocks)
        found.append(bool(blocks.all()))
        assert blocks.all() == blocks.any()
        planes[0][:] += 1
    assert found == ([False] * 4 + [True] + [False] * 3 + [True] + [False] * 3 + [True])


def test_a_frame_that_is_taken_is_the_canvas() -> None:
    video = VideoFormat(width=50, height=30)
    canvas, planes = Canvas(video, 2), video.new_planes()
    planes[0][:] = np.random.default_rng(0).integers(0, 256, planes[0].shape)
    kept = copied(planes)
    canvas.take(planes)
    assert not canvas.differing(planes).any()
    for a, b in zip(planes, kept, strict=True):
        np.testing.assert_array_equal(a, b)
