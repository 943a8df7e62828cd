"""Which tiles changed: against comparing every tile's samples one by one, and at the very edge of a halo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine.changes import Changes, Mask
from lipt_stream.engine.tiling import TilePlan, fixed_plan, window
from lipt_stream.frame import PixFmt, Planes, VideoFormat

CORE, HALO, ALIGN = 16, 8, 8

Edit = tuple[int, int, int, int]  # plane, row, column, by how many codes


def plan_of(video: VideoFormat) -> TilePlan:
    return fixed_plan(video.height, video.width, CORE, HALO, ALIGN)


def edited(planes: Planes, edits: list[Edit], top: int) -> Planes:
    y, u, v = (plane.copy() for plane in planes)
    for index, row, column, codes in edits:
        plane = (y, u, v)[index]
        place = row % plane.shape[0], column % plane.shape[1]
        plane[place] = np.clip(int(plane[place]) + codes, 0, top)
    return y, u, v


class OneByOne:
    """The same by brute force, with a copy of what each tile was computed from."""

    def __init__(self, tiles: TilePlan, threshold: int) -> None:
        self.tiles, self.threshold = tiles, threshold
        self.computed_from: dict[tuple[int, int], Planes] = {}

    def seen(self, planes: Planes) -> Mask:
        mask = np.zeros((len(self.tiles.rows), len(self.tiles.columns)), bool)
        for i, row in enumerate(self.tiles.rows):
            for j, column in enumerate(self.tiles.columns):
                now, then = window(planes, row.read, column.read), self.computed_from.get((i, j))
                mask[i, j] = then is None or any(
                    np.abs(a.astype(int) - b).max() > self.threshold for a, b in zip(now, then, strict=True)
                )
                if mask[i, j]:
                    self.computed_from[i, j] = tuple(plane.copy() for plane in now)  # type: ignore[assignment]
        return mask


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
def test_it_finds_what_comparing_one_by_one_finds(
    width: int, height: int, pix_fmt: PixFmt, threshold: int, frames: list[list[Edit]]
) -> None:
    video = VideoFormat(width=width, height=height, pix_fmt=pix_fmt)
    tiles = plan_of(video)
    changes = Changes(video, tiles, threshold)
    scale = 2 ** (video.bit_depth - 8)
    expected = OneByOne(tiles, threshold * scale)
    planes = video.new_planes()
    for edits in [[], *frames]:
        planes = edited(planes, edits, 2**video.bit_depth - 1)
        mask = changes.seen(planes)
        np.testing.assert_array_equal(mask, expected.seen(planes))
        changes.computed(planes, mask)


@pytest.mark.parametrize("threshold", [0, 2])
def test_a_pixel_at_the_edge_of_the_halo_counts_and_one_beyond_does_not(threshold: int) -> None:
    video = VideoFormat(width=96, height=80)
    tiles = plan_of(video)
    changes = Changes(video, tiles, threshold)
    planes = video.new_planes()
    changes.computed(planes, changes.seen(planes))
    row, column = tiles.rows[1], tiles.columns[2]
    for y, x, inside in [
        (row.start, column.start, True),
        (row.stop - 1, column.stop - 1, True),
        (row.start - 1, column.start, False),
        (row.start, column.start - 1, False),
        (row.stop, column.start, False),
        (row.start, column.stop, False),
    ]:
        for plane, part in ((0, 1), (1, 2), (2, 2)):
            if y % part and inside:
                continue  # the chroma sample of an odd pixel is that of the even one before it
            planes[plane][y // part, x // part] += 3
            mask = changes.seen(planes)
            assert mask[1, 2] == inside, (y, x, plane)
            changes.computed(planes, mask)


def test_small_changes_do_not_add_up_unseen() -> None:
    """A fade of a code a frame: with a threshold of 3 the tile is computed at every fourth."""
    video = VideoFormat(width=32, height=32)
    changes = Changes(video, plan_of(video), 3)
    planes = video.new_planes()
    found = []
    for _ in range(13):
        mask = changes.seen(planes)
        changes.computed(planes, mask)
        found.append(bool(mask.all()))
        assert mask.all() == mask.any()
        planes[0][:] += 1
    assert found == [True, False, False, False] * 3 + [True]


def test_after_forgetting_everything_counts_as_changed() -> None:
    video = VideoFormat(width=50, height=30)
    for threshold in (0, 2):
        changes = Changes(video, plan_of(video), threshold)
        planes = video.new_planes()
        changes.computed(planes, changes.seen(planes))
        assert not changes.seen(planes).any()
        changes.forget()
        mask = changes.seen(planes)
        assert mask.all()
        changes.computed(planes, mask)
        assert not changes.seen(planes).any()
