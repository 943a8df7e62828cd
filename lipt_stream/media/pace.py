"""Files at their own speed, again and again, on one clock that only goes on."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from typing import Final

_LATE_SECONDS: Final = 1  # more behind than this, the clock is set anew instead of catching up
_JUMP_SECONDS: Final = 10  # more ahead than this is a jump of the source's clock, not a picture that stands
_STEP_SECONDS: Final = Fraction(1, 25)  # between pictures that state neither time nor duration


class Pace:
    """Holds each picture back until its time has come."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._began: float | None = None  # where on the monotonic clock time 0 lies
        self._shift = Fraction(0)
        self._first: Fraction | None = None
        self._end = Fraction(0)

    def wait(self, time_seconds: Fraction | None, duration_seconds: Fraction) -> Fraction:
        """Returns the picture's time, moved behind the earlier rounds, once it has come or `cancelled` is set.

        A picture without a time follows the last one.
        """
        seconds = self._end if time_seconds is None else time_seconds
        if self._first is None:
            self._first = seconds
        self._end = seconds + (duration_seconds if duration_seconds > 0 else _STEP_SECONDS)
        shifted = self.shifted(seconds)
        ahead = 0.0 if self._began is None else self._began + float(shifted) - time.monotonic()
        if self._began is None or not -_LATE_SECONDS < ahead < _JUMP_SECONDS:
            self._began = time.monotonic() - float(shifted)
        elif ahead > 0:
            self._cancelled.wait(ahead)
        return shifted

    def shifted(self, time_seconds: Fraction) -> Fraction:
        """A time of this round, moved behind the earlier ones."""
        return time_seconds + self._shift

    def begin_again(self) -> None:
        """The next round begins where this one's last picture ended."""
        if self._first is not None:
            self._shift += self._end - self._first
        self._first = None
