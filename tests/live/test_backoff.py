from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.live.backoff import FIRST_SECONDS, Backoff


@given(chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30), limit=st.floats(0.5, 20))
def test_waits_grow_to_the_limit_and_stay_within(chances: list[float], limit: float) -> None:
    given_chances = iter(chances)
    backoff = Backoff(lambda: next(given_chances))
    waits = [backoff.next(limit) for _ in chances]
    for n, wait in enumerate(waits):
        assert FIRST_SECONDS <= wait <= limit
        assert min(limit, 0.5 * 2 ** (n + 1)) / 2 <= wait <= 0.5 * 2 ** (n + 1)


def test_a_success_begins_anew() -> None:
    backoff = Backoff(lambda: 0.999)
    assert [round(backoff.next(8), 1) for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    backoff.reset()
    assert backoff.next(8) <= 1.0


def test_a_lower_limit_holds_at_once() -> None:
    backoff = Backoff(lambda: 0.999)
    for _ in range(4):
        backoff.next(8)
    assert backoff.next(2) <= 2.0
