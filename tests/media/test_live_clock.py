"""LiveClock against a camera whose true capture times are known, whatever it states and however it arrives."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.media.live_clock import TICKS_PER_SECOND, LiveClock

TURN = Fraction(2**33, 90_000)
SOUND_BASE = Fraction(1, 48_000)
SOUND_SECONDS = Fraction(1024, 48_000)
BEGAN = 1000.0
States = Callable[[Fraction], Fraction]  # what the camera states for what it took at a moment


@dataclass
class Watched:
    """(captured, arrived, timed) of every picture, (captured, timed) of every sound, in session seconds."""

    pictures: list[tuple[float, float, float]] = field(default_factory=list)
    sounds: list[tuple[float, float]] = field(default_factory=list)


def watch(
    clock: LiveClock,
    states: States,
    *,
    states_of_sound: States | None = None,
    seconds: float,
    start: float = 0.0,
    rate: int = 25,
    delay: float = 0.1,
    jitter: float = 0.0,
    sound_lag: float = 0.0,
    seed: int = 0,
) -> Watched:
    """Runs a camera for `seconds`; sound arrives `sound_lag` after the picture of the same moment, or before it."""
    rng, watched = random.Random(seed), Watched()
    captures = [(Fraction(start) + Fraction(n, rate), True) for n in range(int(seconds * rate))]
    captures += [(Fraction(start) + n * SOUND_SECONDS, False) for n in range(int(seconds / SOUND_SECONDS))]
    arrivals = [(float(t) + delay + rng.uniform(0, jitter) + (0 if p else sound_lag), t, p) for t, p in captures]
    newest = {True: 0.0, False: 0.0}
    for arrived, captured, is_picture in sorted(arrivals):
        newest[is_picture] = arrived = max(arrived, newest[is_picture])
        if is_picture:
            pts = clock.picture(states(captured), BEGAN + arrived)
            watched.pictures.append((float(captured), arrived, pts / TICKS_PER_SECOND))
        else:
            stated = (states_of_sound or states)(captured)
            ticks = clock.sound(stated, SOUND_SECONDS, BEGAN + arrived, SOUND_BASE)
            if ticks is not None:
                watched.sounds.append((float(captured), float(ticks * SOUND_BASE)))
    return watched


def worst_step(watched: Watched) -> float:
    """How far sound is from the nearer in time of the pictures taken just before and after it, in seconds, at worst."""
    worst, moments = 0.0, [p[0] for p in watched.pictures]
    for captured, timed in watched.sounds:
        near = watched.pictures[bisect(moments, captured - 0.1) : bisect(moments, captured + 0.1)]
        worst = max(worst, min((abs((timed - captured) - (p[2] - p[0])) for p in near), default=0.0))
    return worst


TIMES = st.one_of(st.none(), st.fractions(-(10**6), 10**6, max_denominator=90_000))


@settings(max_examples=50)
@given(steps=st.lists(st.tuples(TIMES, st.floats(0, 5)), max_size=40))
def test_pictures_strictly_increase_and_none_is_timed_after_its_arrival(
    steps: list[tuple[Fraction | None, float]],
) -> None:
    clock, arrived, pts = LiveClock(BEGAN), BEGAN, []
    for time, wait in steps:
        arrived += wait
        pts.append(clock.picture(time, arrived))
        assert pts[-1] <= (arrived - BEGAN) * TICKS_PER_SECOND + len(pts)
    assert all(a < b for a, b in pairwise(pts))


@settings(max_examples=50)
@given(steps=st.lists(st.tuples(TIMES, st.floats(0, 1), st.booleans()), max_size=40))
def test_sound_strictly_increases_whatever_comes(steps: list[tuple[Fraction | None, float, bool]]) -> None:
    clock, arrived, ticks = LiveClock(BEGAN), BEGAN, []
    for time, wait, is_picture in steps:
        arrived += wait
        if is_picture:
            clock.picture(time, arrived)
        else:
            ticks.append(clock.sound(time, SOUND_SECONDS, arrived, SOUND_BASE))
    timed = [tick for tick in ticks if tick is not None]
    assert all(a < b for a, b in pairwise(timed))
    assert clock.sounds_dropped == len(ticks) - len(timed)


@settings(max_examples=40)
@given(
    jump=st.one_of(st.floats(-50_000, -0.5), st.floats(0.5, 40_000)),
    at=st.floats(3, 5),
    lag=st.floats(-0.6, 0.6),
    base=st.integers(0, 90_000),
    jitter=st.floats(0, 0.03),
)
def test_sound_is_in_step_through_a_jump_and_flows_again(
    jump: float, at: float, lag: float, base: int, jitter: float
) -> None:
    leap, border = Fraction(jump), Fraction(at)
    clock = LiveClock(BEGAN)
    watched = watch(clock, lambda t: base + t + (leap if t >= border else 0), seconds=10, jitter=jitter, sound_lag=lag)
    assert worst_step(watched) <= 0.04
    for _, arrived, timed in watched.pictures:
        assert -0.001 <= arrived - timed <= jitter + 0.02
    assert sum(captured > 8 for captured, _ in watched.sounds) >= 80, "sound flows again"


@settings(max_examples=30)
@given(wrap_at=st.floats(1, 5), lag=st.floats(-0.3, 0.3))
def test_a_wrap_of_mpegs_clock_is_no_jump(wrap_at: float, lag: float) -> None:
    first = TURN - Fraction(wrap_at)
    wrapped, plain = LiveClock(BEGAN), LiveClock(BEGAN)
    a = watch(wrapped, lambda t: (first + t) % TURN, seconds=6, jitter=0.02, sound_lag=lag)
    b = watch(plain, lambda t: t, seconds=6, jitter=0.02, sound_lag=lag)
    assert [p[2] for p in a.pictures] == pytest.approx([p[2] for p in b.pictures], abs=2e-5)
    assert len(a.sounds) == len(b.sounds)


@settings(max_examples=8)
@given(drift=st.floats(-500e-6, 500e-6), jitter=st.floats(0, 0.08), seed=st.integers(0, 99))
def test_drift_and_jitter_neither_add_up_nor_part_sound_from_picture(drift: float, jitter: float, seed: int) -> None:
    speed = Fraction(1 + drift)
    watched = watch(LiveClock(BEGAN), lambda t: 5 + t * speed, seconds=60, rate=10, jitter=jitter, seed=seed)
    assert worst_step(watched) <= 0.04
    late = [arrived - timed for _, arrived, timed in watched.pictures]
    assert min(late) >= -0.001
    assert max(late[20:]) <= jitter + 0.01


@pytest.mark.parametrize("drift", [-2e-4, 2e-4])
def test_two_weeks(drift: float) -> None:
    clock, speed = LiveClock(BEGAN), Fraction(1 + drift)
    late: list[float] = []
    for n in range(14 * 24 * 120):  # a picture each 30 s
        captured = 30 * n
        pts = clock.picture((captured * speed) % TURN, BEGAN + captured + 0.1)
        late.append(captured + 0.1 - pts / TICKS_PER_SECOND)
    assert -0.001 <= min(late) <= max(late) <= 0.01


def test_a_gap_stays_a_gap() -> None:
    clock = LiveClock(BEGAN)
    before = clock.picture(Fraction(100), BEGAN + 1)
    after = clock.picture(Fraction(105), BEGAN + 6.03)
    assert after - before == 5 * TICKS_PER_SECOND, "what was 30 ms late on its way is timed when it was taken"


def test_a_stall_and_the_burst_behind_it_keep_their_times() -> None:
    clock = LiveClock(BEGAN)
    pts = [clock.picture(Fraction(n, 10), BEGAN + n / 10) for n in range(20)]
    pts += [clock.picture(Fraction(n, 10), BEGAN + 3.5 + n / 1000) for n in range(20, 36)]
    pts += [clock.picture(Fraction(n, 10), BEGAN + n / 10) for n in range(36, 50)]
    assert all(b - a == 9000 for a, b in pairwise(pts))


def test_a_source_that_pauses_its_clock_is_followed_after_a_second() -> None:
    clock = LiveClock(BEGAN)
    for n in range(20):
        clock.picture(Fraction(n, 10), BEGAN + n / 10)
    late = []
    for n in range(20, 60):
        arrived = n / 10 + 2  # the clock stood for two seconds
        late.append(arrived - clock.picture(Fraction(n, 10), BEGAN + arrived) / TICKS_PER_SECOND)
    assert late[0] == pytest.approx(2.0)
    assert max(late[12:]) <= 0.01


@settings(max_examples=15)
@given(
    rate=st.integers(4, 60),
    speed=st.floats(-2, 0),
    base=st.integers(0, 90_000),
    jitter=st.floats(0, 0.01),
    lag=st.floats(-0.3, 0.3),
)
def test_pictures_whose_clock_stands_still_or_runs_back_are_timed_as_they_arrive_and_sound_stays(
    rate: int, speed: float, base: int, jitter: float, lag: float
) -> None:
    """From its third second on; sound is of a clock that goes on."""

    def runs_back(t: Fraction) -> Fraction:
        return base + min(t, Fraction(3)) + Fraction(speed) * max(t - 3, Fraction(0))

    watched = watch(
        LiveClock(BEGAN),
        runs_back,
        states_of_sound=lambda t: base + t,
        seconds=12,
        rate=rate,
        jitter=jitter,
        sound_lag=lag,
    )
    settled = [picture for picture in watched.pictures if picture[0] > 3 + 4 / rate]
    for _, arrived, timed in settled:
        assert -0.001 <= arrived - timed <= jitter + 0.02
    for before, after in pairwise(settled):
        assert after[2] - before[2] == pytest.approx(after[0] - before[0], abs=jitter + 0.01)
    later = [sound for sound in watched.sounds if sound[0] > 6]
    assert worst_step(Watched(settled, later)) <= jitter + 0.04
    assert len(later) >= 270, "sound goes on"


@settings(max_examples=10)
@given(rate=st.integers(4, 60), jitter=st.floats(0, 0.01))
def test_a_clock_of_whole_seconds_gives_no_bursts_but_of_a_few(rate: int, jitter: float) -> None:
    watched = watch(
        LiveClock(BEGAN), lambda t: Fraction(int(t)), states_of_sound=lambda t: t, seconds=8, rate=rate, jitter=jitter
    )
    late = [arrived - timed for captured, arrived, timed in watched.pictures if captured > 1]
    assert min(late) >= -0.001
    assert max(late) <= 3 / rate + jitter + 0.02
    assert sum(captured > 2 for captured, _ in watched.sounds) >= 270


def test_a_clock_that_goes_on_after_it_stood_still_is_followed_again() -> None:
    clock = LiveClock(BEGAN)
    stands = [clock.picture(Fraction(7), BEGAN + n / 25) for n in range(100)]
    goes_on = [clock.picture(7 + Fraction(n - 99, 25), BEGAN + n / 25) for n in range(100, 150)]
    assert all(b - a == pytest.approx(3600, abs=1) for a, b in pairwise((*stands[4:], *goes_on)))


def test_a_burst_at_the_start_is_not_timed_into_the_future() -> None:
    clock = LiveClock(BEGAN)
    backlog = [clock.picture(Fraction(n, 25), BEGAN + 0.5 + n / 1000) for n in range(25)]
    after = [clock.picture(Fraction(25 + n, 25), BEGAN + 0.525 + n / 25) for n in range(25)]
    assert backlog[-1] <= 0.525 * TICKS_PER_SECOND
    assert all(b - a == pytest.approx(3600, abs=1) for a, b in pairwise(after))


def test_missing_times_are_those_of_arrival_and_a_slip_is_put_behind() -> None:
    clock = LiveClock(BEGAN)
    assert clock.picture(None, BEGAN + 1) == TICKS_PER_SECOND
    assert clock.picture(Fraction(50), BEGAN + 2) == 2 * TICKS_PER_SECOND
    assert clock.picture(Fraction(50) - Fraction(1, 50), BEGAN + 2.01) == 2 * TICKS_PER_SECOND + 1
    assert clock.picture(None, BEGAN + 2.02) == round(2.02 * TICKS_PER_SECOND)
    assert clock.picture(Fraction(51), BEGAN + 3) == 3 * TICKS_PER_SECOND


def test_a_new_connection_goes_on_behind_the_old_one() -> None:
    clock = LiveClock(BEGAN)
    first = watch(clock, lambda t: 7 + t, seconds=2, jitter=0.02)
    clock.reconnected()
    second = watch(clock, lambda t: 90_000 - t / 2 + t * Fraction(3, 2), start=5, seconds=2, jitter=0.02)
    both = Watched(first.pictures + second.pictures, first.sounds + second.sounds)
    assert all(a[2] < b[2] for a, b in pairwise(both.pictures))
    assert all(a[1] < b[1] for a, b in pairwise(both.sounds))
    assert worst_step(both) <= 0.04


def test_sound_goes_on_while_a_picture_stands() -> None:
    clock = LiveClock(BEGAN)
    clock.picture(Fraction(5), BEGAN)
    sounds = [clock.sound(5 + Fraction(n, 4), SOUND_SECONDS, BEGAN + n / 4, SOUND_BASE) for n in range(1, 60)]
    assert sounds == [12_000 * n for n in range(1, 60)]
    assert clock.sound(Fraction(25), SOUND_SECONDS, BEGAN + 15, SOUND_BASE) is None, "5 s before its time"
    assert clock.picture(Fraction(20), BEGAN + 15) == 15 * TICKS_PER_SECOND


def test_sound_before_any_picture_and_of_another_clock_has_no_place() -> None:
    clock = LiveClock(BEGAN)
    assert clock.sound(Fraction(3), SOUND_SECONDS, BEGAN + 1, SOUND_BASE) is None
    clock.picture(Fraction(3), BEGAN + 1)
    assert clock.sound(Fraction(3), SOUND_SECONDS, BEGAN + 1, SOUND_BASE) == 48_000
    assert clock.sound(None, SOUND_SECONDS, BEGAN + 1, SOUND_BASE) == 48_000 + 1024
    assert clock.sound(Fraction(700), SOUND_SECONDS, BEGAN + 1.1, SOUND_BASE) is None
    assert clock.sounds_dropped == 2
