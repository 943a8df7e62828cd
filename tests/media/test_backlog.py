"""Whether a reader is behind, from the source's times, its own clock and how long it waited for packets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.media.backlog import Backlog


@dataclass(frozen=True)
class Read:
    number: int
    lain_seconds: float  # in truth
    told_seconds: float
    passes_over: bool
    lacks_keyframe: bool


def reads(
    count: int,
    fps: float,
    decode_seconds: Callable[[int], float],
    *,
    transit_seconds: Callable[[int], float] = lambda _: 0.05,
    keyframes: int = 25,
    first_seconds: float = 7000.0,
    clock_rate: float = 1.0,
) -> Iterator[Read]:
    """A camera's pictures, `transit_seconds` on their way, read one after the other by someone who decodes them."""
    backlog, now, before = Backlog(), 100.0, 0.0
    for number in range(count):
        arrived = max(before, 100 + number / fps + transit_seconds(number))  # none overtakes another
        before = arrived
        asked = now
        now = max(now, arrived) + 0.0002
        backlog.read(Fraction(first_seconds + clock_rate * number / fps), asked, now)
        passed = backlog.passes_over(is_keyframe=number % keyframes == 0)
        yield Read(number, now - arrived, backlog.seconds, passed, backlog.lacks_keyframe)
        now += 0.0 if passed else decode_seconds(number)


def test_a_decoder_that_is_too_slow_is_behind_and_catches_up_at_keyframes() -> None:
    seen = list(reads(3000, 25, lambda _: 0.06))
    assert max(one.lain_seconds for one in seen) < 1.5, "and not 0.5 s more with each second"
    assert max(abs(one.told_seconds - one.lain_seconds) for one in seen) < 0.06
    decoded = sum(not one.passes_over for one in seen)
    assert 0.4 * len(seen) < decoded < 0.7 * len(seen)
    begins = [one.number for one, after in pairwise(seen) if one.passes_over and not after.passes_over]
    assert begins
    assert all((number + 1) % 25 == 0 for number in begins), "it goes on with keyframes"


@pytest.mark.parametrize("keyframe_seconds", [4, 8])
def test_a_keyframe_that_comes_every_few_seconds_is_waited_for(keyframe_seconds: int) -> None:
    seen = list(reads(3000, 25, lambda _: 0.06, keyframes=25 * keyframe_seconds))
    assert not any(one.lacks_keyframe for one in seen), "the next connection would wait for it as well"
    decoded = [one.number for one in seen if not one.passes_over]
    assert max(after - before for before, after in pairwise(decoded)) <= 25 * keyframe_seconds


def test_a_hiccup_is_caught_up_with() -> None:
    seen = list(reads(500, 25, lambda number: 0.9 if number == 200 else 0.005))
    assert max(one.told_seconds for one in seen) == pytest.approx(0.87, abs=0.05)
    assert not any(one.passes_over for one in seen)
    assert seen[-1].told_seconds < 0.001


@given(
    st.lists(st.floats(0, 0.4), min_size=5, max_size=5),
    st.sampled_from([10.0, 25.0, 30.0, 60.0]),
    st.floats(0.9999, 1.0001),
)
def test_who_waits_for_packets_is_not_behind_whatever_the_network_does(
    jitter: list[float], fps: float, clock_rate: float
) -> None:
    def transit(number: int) -> float:
        return 0.02 + jitter[number // 40 % 5] + (3.0 if 300 <= number < 310 else 0.0)  # and a stall of three seconds

    seen = list(reads(600, fps, lambda _: 0.3 / fps, transit_seconds=transit, clock_rate=clock_rate))
    assert not any(one.passes_over for one in seen)


def test_two_clocks_may_drift_for_an_hour() -> None:
    seen = list(reads(36_000, 10, lambda _: 0.08, clock_rate=0.9999))
    assert not any(one.passes_over for one in seen)
    assert max(one.told_seconds for one in seen) < 0.05


def test_a_camera_that_sets_its_clock_is_no_backlog() -> None:
    backlog = Backlog()
    for number, time in enumerate([*range(50), *range(900, 950), *range(20)]):
        now = 10 + number / 10
        backlog.read(Fraction(time, 10), now - 0.001, now)  # a reader that is busy nearly all the time
        assert backlog.seconds < 0.001
        assert not backlog.passes_over(is_keyframe=False)


def test_pictures_without_times_tell_nothing() -> None:
    backlog = Backlog()
    for number in range(100):
        backlog.read(None, float(number), float(number))
        assert (backlog.seconds, backlog.passes_over(is_keyframe=False)) == (0.0, False)


def test_a_keyframe_that_does_not_come_is_missed() -> None:
    backlog = Backlog()
    seconds = [number for number in range(600) if _passes(backlog, number)]
    assert seconds
    assert backlog.lacks_keyframe


def _passes(backlog: Backlog, number: int) -> bool:
    now = 10 + 0.06 * number
    backlog.read(Fraction(number, 25), now, now)
    return backlog.passes_over(is_keyframe=number == 0)
