"""What waits at a live source's door, because reading and decoding it take longer than its pictures come."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

_MEMORY_SECONDS: Final = 1.0  # in which the share of idle time fades
_IDLE_SHARE: Final = 0.25  # who waits so much of his time for packets has none in store
_DRIFT: Final = 0.002  # of a second per second, as LiveClock allows two clocks
_JUMP_SECONDS: Final = 1.0  # a step of the source's times further than time has gone on here
_BEHIND_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 1.0  # a hiccup is caught up with by itself
_CHRONIC_SECONDS: Final = 10.0  # behind again so soon, it is none
_KEYFRAME_SECONDS: Final = 10.0  # that one is waited for; cameras send them every 1 to 10 s


class Backlog:
    """FFmpeg and the kernel hold what comes while a picture is decoded, unseen, without a bound. How much it is follows
    from the source's times: they go on with the clock, and a reader who falls behind them and never waits for a packet
    has the rest in store. One who does wait has nothing in store, however late a packet is: then the network was slow.

    `seconds`: how long the packet that was read last has lain there. `passed_over` counts packets that were left
    undecoded since one was decoded.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.passed_over = 0
        self._anchor = math.inf  # the arrival of time 0, were all read at once
        self._last: float | None = None  # time of the picture before
        self._at = 0.0  # when it was read
        self._waited = 0.0  # since then
        self._idle = self._passed = 0.0  # seconds of late, fading
        self._behind_since = math.inf
        self._passing_since = math.inf
        self._went_on_at = -math.inf  # after the last passing over

    def read(self, time_seconds: Fraction | None, asked_seconds: float, now: float) -> None:
        """A packet came at `now`, asked for since `asked_seconds`. `time_seconds` is None of sound, and of a picture
        that states none."""
        self._waited += now - asked_seconds
        if time_seconds is None:
            return
        time, passed = float(time_seconds), 0.0 if self._last is None else now - self._at
        has_jumped = self._last is None or not -_JUMP_SECONDS < time - self._last < passed + _JUMP_SECONDS
        self._last, self._at = time, now
        if self._is_idle(passed) or has_jumped:
            self._anchor = now - time
        else:
            self._anchor = min(self._anchor + _DRIFT * passed, now - time)
        self.seconds = now - time - self._anchor
        if self.seconds <= _BEHIND_SECONDS:
            self._behind_since = math.inf
        elif self._behind_since == math.inf:
            self._behind_since = now

    def _is_idle(self, passed_seconds: float) -> bool:
        """Whether this packet was waited for, and those before it: on a busy machine, any call may take long once."""
        waited, self._waited = self._waited, 0.0
        fading = math.exp(-passed_seconds / _MEMORY_SECONDS)
        self._idle = fading * self._idle + waited
        self._passed = fading * self._passed + passed_seconds
        return waited > _IDLE_SHARE * passed_seconds and self._idle > _IDLE_SHARE * self._passed

    def passes_over(self, *, is_keyframe: bool) -> bool:
        """Whether the packet is to be left undecoded: from where decoding did not catch up for a second (at once where
        that was so a moment ago), to a keyframe that lay there for no time worth the name."""
        is_passing = self._passing_since < math.inf
        if not is_passing:
            is_passing = self._at - self._behind_since > self._patience_seconds
            self._passing_since = self._at if is_passing else math.inf
        elif is_keyframe and self.seconds <= _BEHIND_SECONDS / 2:
            is_passing = False
            self._passing_since, self._went_on_at = math.inf, self._at
        self.passed_over = self.passed_over + 1 if is_passing else 0
        return is_passing

    @property
    def _patience_seconds(self) -> float:
        return 0.0 if self._at - self._went_on_at < _CHRONIC_SECONDS else _PATIENCE_SECONDS

    @property
    def lacks_keyframe(self) -> bool:
        """Whether one to go on from has not come for too long."""
        return self._at - self._passing_since > _KEYFRAME_SECONDS
