"""Files at their own speed, again and again, on one clock that only goes on."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from lipt_stream.media.live import LiveSound

_LATE_SECONDS: Final = 1  # more behind than this, the clock is set anew instead of catching up
_JUMP_SECONDS: Final = 10  # more ahead than this is a jump of a clock that may jump, not a picture that stands
_STEP_SECONDS: Final = Fraction(1, 25)  # between pictures that state neither time nor duration
_LEAD_SECONDS: Final = 1  # that sound may come before its time: files put it so far before the picture
_MOST_HELD: Final = 10_000  # packets of sound: more than three minutes of AAC


class Pace:
    """Holds each picture back until its time has come."""

    def __init__(self, cancelled: threading.Event, *, may_jump: bool) -> None:
        """`may_jump`: the source's clock may leap ahead, as that of files that were joined end to end."""
        self._cancelled = cancelled
        self._furthest_seconds = _JUMP_SECONDS if may_jump else float("inf")
        self._began: float | None = None  # where on the monotonic clock time 0 lies
        self._shift = Fraction(0)
        self._first: Fraction | None = None
        self._end = Fraction(0)

    def place(self, time_seconds: Fraction | None, duration_seconds: Fraction) -> Fraction:
        """The next picture's time, moved behind the earlier rounds. A picture without a time follows the last one."""
        seconds = self._end if time_seconds is None else time_seconds
        if self._first is None:
            self._first = seconds
        self._end = seconds + (duration_seconds if duration_seconds > 0 else _STEP_SECONDS)
        shifted = self.shifted(seconds)
        if self._began is None or not -_LATE_SECONDS < self.ahead(shifted) < self._furthest_seconds:
            self._began = time.monotonic() - float(shifted)
        return shifted

    def ahead(self, shifted: Fraction) -> float:
        """In how many seconds its time comes. Before the first picture it is always there."""
        return 0.0 if self._began is None else self._began + float(shifted) - time.monotonic()

    def hold(self, shifted: Fraction) -> None:
        """Returns once that time has come, or `cancelled` is set."""
        ahead = self.ahead(shifted)
        if ahead > 0:
            self._cancelled.wait(ahead)

    def shifted(self, time_seconds: Fraction) -> Fraction:
        """A time of this round, moved behind the earlier ones."""
        return time_seconds + self._shift

    def begin_again(self) -> None:
        """The next round begins where this one's last picture ended."""
        if self._first is not None:
            self._shift += self._end - self._first
        self._first = None


class HeldSound:
    """Sound of a file that is read long before its time, because the picture before it stands. It waits here, so that
    the next picture can be read, which nobody knows the time of before."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._held: deque[LiveSound] = deque()

    def put(self, sound: LiveSound) -> Iterator[LiveSound]:
        """Takes `sound`, whose time is of all rounds, and gives what is due; where too much is held, waits for it."""
        self._held.append(sound)
        while self._held and (self._ahead() <= 0 or len(self._held) > _MOST_HELD):
            yield self._next()

    def before(self, shifted: Fraction) -> Iterator[LiveSound]:
        """What is due before a picture of that time, each as its time comes."""
        while self._held and self._ahead() < self._pace.ahead(shifted):
            yield self._next()

    def rest(self) -> Iterator[LiveSound]:
        """All, each as its time comes."""
        while self._held:
            yield self._next()

    def _ahead(self) -> float:
        seconds = self._held[0].time_seconds
        return 0.0 if seconds is None else self._pace.ahead(seconds - _LEAD_SECONDS)

    def _next(self) -> LiveSound:
        sound = self._held.popleft()
        if sound.time_seconds is not None:
            self._pace.hold(sound.time_seconds - _LEAD_SECONDS)
        return dataclasses.replace(sound, arrived_seconds=time.monotonic())
