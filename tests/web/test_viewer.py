"""A viewer's queue: bounded, and always from a keyframe on."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.web import viewer as module
from lipt_stream.web.viewer import Item, Viewer

OPENING = (Item("picture"), Item(b"init"))


def picture(number: int, size: int = 10) -> Item:
    return Item(number.to_bytes(4, "big").ljust(size, b"\0"), is_picture=True)


def number_of(item: Item) -> int:
    assert isinstance(item.data, bytes)
    return int.from_bytes(item.data[:4], "big")


def taken(viewer: Viewer) -> Item | None:
    """The next item without waiting; fails where there is none."""
    return asyncio.run(asyncio.wait_for(viewer.take(), 1))


def test_it_starts_at_a_keyframe_behind_the_opening() -> None:
    viewer = Viewer()
    assert viewer.wants_keyframe
    viewer.put(picture(0), False, OPENING)
    viewer.put(picture(1), True, OPENING)
    viewer.put(picture(2), False, OPENING)
    assert not viewer.wants_keyframe
    assert [taken(viewer) for _ in range(4)] == [*OPENING, picture(1), picture(2)]
    assert viewer.dropped == 0, "what came before it was there is no loss"


def test_only_the_newest_statistics_wait_and_they_go_first() -> None:
    viewer = Viewer()
    viewer.put(picture(1), True, OPENING)
    viewer.put_stats("old")
    viewer.put_stats("new")
    assert taken(viewer) == Item("new")
    assert taken(viewer) == OPENING[0]


STEPS = st.lists(st.tuples(st.sampled_from(["picture", "keyframe", "take"]), st.integers(4, 2 * 2**20)), max_size=300)


@given(steps=STEPS)
def test_it_is_bounded_and_has_no_gap_but_before_a_new_start(steps: list[tuple[str, int]]) -> None:
    viewer = Viewer()
    received: list[Item] = []
    keyframes: set[int] = set()

    async def play() -> None:
        for number, (step, size) in enumerate(steps):
            if step != "take":
                keyframes.update({number} if step == "keyframe" else ())
                viewer.put(picture(number, size), step == "keyframe", OPENING)
            elif viewer._queue:  # pyright: ignore[reportPrivateUsage]
                item = await viewer.take()
                assert item is not None
                received.append(item)
            queued = list(viewer._queue)  # pyright: ignore[reportPrivateUsage]
            assert len(queued) <= module._MOST_ITEMS  # pyright: ignore[reportPrivateUsage]
            assert sum(len(item.data) for item in queued) <= module._MOST_BYTES  # pyright: ignore[reportPrivateUsage]

    asyncio.run(play())
    put = [number for number, (step, _) in enumerate(steps) if step != "take"]
    for before, item in pairwise(received):
        if item.is_picture and before.is_picture:
            assert put.index(number_of(item)) == put.index(number_of(before)) + 1
        elif item.is_picture:
            assert before == OPENING[1]
            assert number_of(item) in keyframes


def test_one_that_hangs_asks_for_no_keyframe_until_it_is_free() -> None:
    viewer = Viewer()
    viewer.put(picture(0), True, OPENING)
    assert taken(viewer) == OPENING[0]  # and it hangs in the midst of sending it
    for number in range(1, 1000):
        viewer.put(picture(number), number % 60 == 0, OPENING)
        assert not viewer.wants_keyframe
    assert viewer.dropped > 0

    async def go_on() -> Item | None:
        taking = asyncio.create_task(viewer.take())
        await asyncio.sleep(0)
        assert viewer.wants_keyframe
        viewer.put(picture(1000), True, OPENING)
        return await taking

    assert asyncio.run(go_on()) == OPENING[0]
    assert not viewer.wants_keyframe


def test_the_end_is_told() -> None:
    viewer = Viewer()
    viewer.put(picture(0), True, OPENING)
    viewer.close()
    assert taken(viewer) is None
