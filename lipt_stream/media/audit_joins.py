"""Times of a file whose clock jumps, because recordings were joined: as if it had gone on. For audits alone."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import Final

_BACK_SECONDS: Final = 0.5
_AHEAD_SECONDS: Final = 10.0
_COUNT_FROM_ANYWHERE: Final = frozenset({"mpegts", "mpeg"})


class JoinedTimes:
    """Follows one stream's times, in seconds.

    A time half a second before the latest is a jump; in a transport or program stream also one ten seconds after it.
    `offsets`: what was added to the stream's times between one jump and the next; the first is 0. The sound of a film
    is joined where its pictures are: give it their `offsets`.
    """

    def __init__(self, container_name: str, offsets: Sequence[float] = (0.0,)) -> None:
        self.offsets = [0.0]
        self._known = offsets
        self._counts_from_anywhere = container_name in _COUNT_FROM_ANYWHERE
        self._latest: float | None = None  # on the file's own clock
        self._step = 0.0

    def follow(self, seconds: float, duration_seconds: float) -> float:
        """Where `seconds` lies on a clock that has gone on; nan stays nan."""
        if isnan(seconds):
            return seconds
        latest, self._latest = self._latest, seconds
        if latest is not None:
            if self._is_jump(latest, seconds):
                place = len(self.offsets)
                own = self.offsets[-1] + latest + self._step - seconds
                self.offsets.append(self._known[place] if place < len(self._known) else own)
            else:
                self._latest = max(latest, seconds)
        self._step = duration_seconds
        return seconds + self.offsets[-1]

    def is_wrong(self, seconds: float, following: float) -> bool:
        """Whether a time leaves the line on which the next one, `following`, goes on. One that slips back a little, or
        is late by less than a frame, does not."""
        latest = self._latest
        if latest is None or not latest < following or self._is_jump(latest, following):
            return False
        return self._is_jump(latest, seconds) or (seconds >= following and seconds > latest + self._step)

    def leaps(self, seconds: float) -> bool:
        """Whether a time is half a second or more from where the last one ended."""
        return self._latest is not None and abs(seconds - self._latest - self._step) > _BACK_SECONDS

    def _is_jump(self, latest: float, seconds: float) -> bool:
        ahead = self._counts_from_anywhere and seconds > latest + _AHEAD_SECONDS
        return ahead or seconds < latest - _BACK_SECONDS
