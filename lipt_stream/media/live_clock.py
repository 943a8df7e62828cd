"""A live source's times on the session's clock, whatever they do: jump, wrap, stand still, run back, drift or lack."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

TICKS_PER_SECOND: Final = 90_000
_TURN_SECONDS: Final = 2**33 / 90_000  # MPEG's clock has 33 bits (ISO/IEC 13818-1, 2.4.3.7)

_SLIP_SECONDS: Final = 0.04  # a picture this little before its predecessor is out of order, one more is a jump
_JUMP_BACK_SECONDS: Final = 0.1
_JUMP_AHEAD_SECONDS: Final = 0.25  # further than time has gone on here
_OTHER_JUMPS_SECONDS: Final = 2.0  # within which picture and sound pass the same jump
_STILL_PICTURES: Final = 3  # in a row, none timed after the one before: the clock stands, or runs back
_FAR_SECONDS: Final = 3.0  # sound further from the picture belongs to another clock

_REVIEW_SECONDS: Final = 1.0
_DRIFT: Final = 0.002  # of a second per second: more than any quartz, less than is seen or heard
_LATE_SECONDS: Final = 0.25  # of all pictures for a second: the source has paused its clock


class LiveClock:
    """Maps a source's times to seconds since the session began, by one offset for picture and sound alike.

    No picture is timed after its arrival, and the one that came quickest on its way is timed at it. So a jump in either
    direction anchors the times anew at the arrival, and so do the pictures that a camera had in store when it was
    connected; a late picture, and the burst behind a stall, keep the times at which they were taken. The offset sinks
    at once where a picture comes before its time, and rises by 2 ms a second where all come behind theirs, so that two
    clocks may drift for weeks; where all are more than 250 ms late for a second it follows at once. Times that stand
    still or run back, picture after picture, are taken as going on with the arrivals, until they go on by themselves.

    Sound that cannot be in step is not timed: on the far side of a jump that the picture has still to pass, or
    behind sound that was timed already. `sounds_dropped` counts it.
    """

    def __init__(self, began_seconds: float) -> None:
        """`began_seconds`: where on the clock of arrivals the session's second 0 lies."""
        self._began = began_seconds
        self._last_pts = -1
        self._sound_end = -math.inf  # of the last sound, in session seconds
        self._last_sound_seconds = Fraction(-1)
        self.sounds_dropped = 0
        self.reconnected()

    def reconnected(self) -> None:
        """The next picture is the first of a new connection, whose times have nothing to do with the former's."""
        self._pictures, self._sounds = _Track(), _Track()
        self._going = _Going()
        self._jumped_seconds = -math.inf

    def picture(self, time_seconds: Fraction | None, arrived_seconds: float) -> int:
        """The picture's time in 1/90000 s since the session began; strictly increasing.

        One whose time is missing is timed at its arrival.
        """
        now = arrived_seconds - self._began
        seconds = now if time_seconds is None else self._placed(time_seconds, now)
        self._last_pts = max(round(seconds * TICKS_PER_SECOND), self._last_pts + 1)
        return self._last_pts

    def _placed(self, time_seconds: Fraction, now: float) -> float:
        step = self._pictures.follow(self._going.time_seconds(time_seconds, now), now)
        if self._pictures.has_jumped:
            self._jumped_seconds = now
        position = self._pictures.position
        if step is None or step < -_SLIP_SECONDS:
            self._anchor(now - position, now)
        self._offset = min(self._offset, now - position)
        self._review(now - position - self._offset, now)
        return position + self._offset

    def _anchor(self, offset: float, now: float) -> None:
        self._offset = offset
        self._least_lateness, self._reviewed = math.inf, now

    def _review(self, lateness: float, now: float) -> None:
        self._least_lateness = min(self._least_lateness, lateness)
        passed = now - self._reviewed
        if passed >= _REVIEW_SECONDS:
            least = self._least_lateness
            self._anchor(self._offset + (least if least > _LATE_SECONDS else min(least, _DRIFT * passed)), now)

    def sound(
        self, time_seconds: Fraction | None, duration_seconds: Fraction, arrived_seconds: float, time_base: Fraction
    ) -> int | None:
        """The time of a packet of sound in units of `time_base`, strictly increasing; None where it cannot be in step.

        One whose time is missing follows the last.
        """
        now = arrived_seconds - self._began
        seconds = self._sound_end if time_seconds is None else self._sound_seconds(time_seconds, now)
        ticks = round(seconds / time_base) if math.isfinite(seconds) else -1
        if ticks < 0 or ticks * time_base <= self._last_sound_seconds:
            self.sounds_dropped += 1
            return None
        self._last_sound_seconds = ticks * time_base
        self._sound_end = seconds + float(duration_seconds)
        return ticks

    def _sound_seconds(self, time_seconds: Fraction, now: float) -> float:
        """NaN where the packet has no place."""
        self._sounds.follow(time_seconds, now)
        if self._sounds.has_jumped:
            self._jumped_seconds = now
        if self._sounds.jumps != self._pictures.jumps:
            if now < self._jumped_seconds + _OTHER_JUMPS_SECONDS:
                return math.nan
            self._sounds.jumps = self._pictures.jumps
        ahead = self._pictures.until(time_seconds)
        passed = now - self._pictures.went_on_at_seconds  # while a picture stands, its sound goes on
        if ahead is None or not -_FAR_SECONDS <= ahead <= passed + _FAR_SECONDS:
            return math.nan
        return self._pictures.position + ahead + self._offset


class _Going:
    """What a source states; where that stands still or runs back, what it would state if it had gone on."""

    def __init__(self) -> None:
        self._last: Fraction | None = None
        self._still = 0  # times in a row that were not after the one before
        self._went_seconds, self._went_at_seconds = Fraction(0), 0.0  # the last that was, and when it arrived

    def time_seconds(self, stated: Fraction, now: float) -> Fraction:
        has_gone_on = self._last is None or _short_way(stated - self._last) > 0
        self._last = stated
        if has_gone_on:
            self._still = 0
            self._went_seconds, self._went_at_seconds = stated, now
            return stated
        self._still += 1
        if self._still < _STILL_PICTURES:
            return stated
        return self._went_seconds + Fraction(now - self._went_at_seconds)


class _Track:
    """One stream's times, unwrapped. `position` counts seconds from its first; `jumps` the breaks in it.
    `went_on_at_seconds`: when the last one came that was after the one before."""

    def __init__(self) -> None:
        self.position = 0.0
        self.jumps = 0
        self.has_jumped = False
        self._last: Fraction | None = None
        self.went_on_at_seconds = 0.0

    def follow(self, time_seconds: Fraction, now: float) -> float | None:
        """Goes on to `time_seconds`, and returns by how much; None for the first."""
        step = self.until(time_seconds)
        self.has_jumped = step is not None and not (
            -_JUMP_BACK_SECONDS <= step <= now - self.went_on_at_seconds + _JUMP_AHEAD_SECONDS
        )
        self.jumps += self.has_jumped
        self.position += step or 0.0
        self._last = time_seconds
        if step is None or step > 0 or self.has_jumped:
            self.went_on_at_seconds = now
        return step

    def until(self, time_seconds: Fraction) -> float | None:
        """From the newest time to `time_seconds`, the short way around MPEG's clock; None before the first."""
        if self._last is None:
            return None
        return _short_way(time_seconds - self._last)


def _short_way(difference: Fraction) -> float:
    """Around MPEG's clock."""
    return (float(difference) + _TURN_SECONDS / 2) % _TURN_SECONDS - _TURN_SECONDS / 2
