"""The mailbox keeps the newest items, in order, and gives every other one back."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.live.mailbox import Mailbox


@given(st.lists(st.integers(0, 3)))
def test_every_item_is_fetched_or_given_back_once_and_the_newest_stay(steps: list[int]) -> None:
    """A step of 0 fetches, of 1 takes back, else leaves an item where so many may wait."""
    box: Mailbox[int] = Mailbox()
    waiting: deque[int] = deque()
    for number, step in enumerate(steps):
        if step < 2:
            fetched = box.get(0.0) if step == 0 else box.take_back()
            assert fetched == (waiting.popleft() if waiting else None)
        else:
            waiting.append(number)
            assert box.put(number, step - 1) == [waiting.popleft() for _ in range(len(waiting) - (step - 1))]


def test_who_waits_for_an_item_gets_none_in_time() -> None:
    assert Mailbox[int]().get(0.01) is None
