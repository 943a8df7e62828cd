"""Where most of the frame moves it is computed whole, and in tiles again where little does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.engine.reuse import LITTLE, MOST, PATIENCE, WholeOrTiles, Work
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import VideoFormat
from tests.engine.driven_engine import assert_equal, every_tile, in_tiles, picture, submit


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", precision="float32")


def test_what_moves_all_over_is_computed_whole(nano: Upscaler) -> None:
    video = VideoFormat(width=130, height=90)
    engine = in_tiles(nano, video, picture(video))
    for seed in range(1, PATIENCE + 3):
        work = submit(engine, picture(video, seed)).work
        assert (work.changed is None) == (seed >= PATIENCE), "one new frame is no reason, several are"
        assert work.reused == 0
        assert work.share == 1 if work.changed is None else work.share > 1


def test_from_tiles_to_whole_frames_and_back(nano: Upscaler) -> None:
    """What was computed whole does not pass for tiles: the first frame in tiles again computes all of them."""
    video = VideoFormat(width=130, height=90)
    planes = picture(video)
    engine = in_tiles(nano, video, planes)
    for seed in range(1, PATIENCE + 2):
        planes = picture(video, seed)
        submit(engine, planes)
    works: list[Work] = []
    for column in range(PATIENCE + 2):
        planes[0][3, column] ^= 1
        slot = submit(engine, planes)
        works.append(slot.work)
    assert [work.changed is None for work in works] == [True] * (PATIENCE - 1) + [False] * 3
    assert [work.reused for work in works[-3:]] == [0, works[0].tiles - 1, works[0].tiles - 1]
    assert_equal(slot.host_out, every_tile(nano, video, planes))


shares = st.lists(st.floats(0, 2), max_size=60)


@given(shares)
def test_the_choice_between_whole_and_tiles_changes_only_after_patience(sequence: list[float]) -> None:
    choice = WholeOrTiles()
    was, since = False, 0
    for count, share in enumerate(sequence, 1):
        now = choice.in_tiles(share)
        if now != was:
            recent = sequence[count - PATIENCE : count]
            assert count - since >= PATIENCE
            assert all(share < LITTLE for share in recent) if now else all(share > MOST for share in recent)
            since = count
        was = now
