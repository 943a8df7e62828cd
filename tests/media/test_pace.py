"""Pace and HeldSound on a clock of the test's own: what is held until when, and what holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from lipt_stream.media import pace as pace_module
from lipt_stream.media.live import LiveSound
from lipt_stream.media.pace import HeldSound, Pace

STEP = Fraction(1, 25)


class Clock(threading.Event):
    """The time passes by waiting alone."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


def sound(seconds: Any) -> LiveSound:
    return LiveSound(data=b"", time_seconds=seconds, duration_seconds=STEP, arrived_seconds=0.0)


def show(pace: Pace, seconds: int | Fraction) -> None:
    pace.hold(pace.place(Fraction(seconds), STEP))


@pytest.mark.parametrize("stands", [5, 15, 3600])
def test_a_picture_may_stand_as_long_as_it_likes(clock: Clock, stands: int) -> None:
    pace = Pace(clock, may_jump=False)
    show(pace, 3)
    show(pace, 3 + stands)
    assert clock.now == pytest.approx(100 + stands)


def test_in_what_may_be_joined_ten_seconds_are_a_jump(clock: Clock) -> None:
    pace = Pace(clock, may_jump=True)
    show(pace, 3)
    show(pace, 12)
    assert clock.now == pytest.approx(109)
    show(pace, 40_000)
    assert clock.now == pytest.approx(109)


def test_sound_beside_a_picture_that_stands_comes_in_its_time(clock: Clock) -> None:
    """A packet each half second; the picture of second 20 lies behind all of them in the file."""
    pace = Pace(clock, may_jump=False)
    held = HeldSound(pace)
    show(pace, 0)
    came: list[tuple[float, float]] = []

    def take(sounds: Iterator[LiveSound]) -> None:
        for each in sounds:
            assert each.arrived_seconds == clock.now
            came.append((float(each.time_seconds or 0), clock.now - 100))

    for n in range(41):
        take(held.put(sound(Fraction(n, 2))))
    assert clock.now == 100, "reading is not held up: the next picture may come at any time"
    take(held.before(Fraction(20)))
    show(pace, 20)
    assert clock.now == pytest.approx(120)
    take(held.rest())
    assert [seconds for seconds, _ in came] == [n / 2 for n in range(41)]
    assert all(0 <= seconds - at <= 1.001 for seconds, at in came)


def test_sound_far_ahead_in_the_file_holds_no_picture_up(clock: Clock) -> None:
    pace = Pace(clock, may_jump=False)
    held = HeldSound(pace)
    show(pace, 0)
    for n in range(1, 100):
        list(held.put(sound(5 + n * STEP)))
        list(held.before(n * STEP))
        show(pace, n * STEP)
        assert clock.now == pytest.approx(100 + float(n * STEP))


def test_what_is_held_has_a_bound(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "_MOST_HELD", 10)
    pace = Pace(clock, may_jump=False)
    held = HeldSound(pace)
    show(pace, 0)
    came = [each for n in range(100) for each in held.put(sound(Fraction(n)))]
    assert len(came) == 90
    assert clock.now == pytest.approx(100 + 88), "of second 89, and a second before it"


def test_sound_without_a_time_keeps_its_place(clock: Clock) -> None:
    pace = Pace(clock, may_jump=False)
    held = HeldSound(pace)
    show(pace, 0)
    assert [each.time_seconds for each in held.put(sound(None))] == [None]
    assert list(held.put(sound(Fraction(9)))) == []
    assert list(held.put(sound(None))) == []
    assert [each.time_seconds for each in held.rest()] == [9, None]
