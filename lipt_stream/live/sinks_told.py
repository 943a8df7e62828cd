"""What is said of sinks that fail and come back: each trouble once, not the same one for hours."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from lipt_stream.live.sink import SinkStatus

STEADY_SECONDS: Final = 10.0
"""That a sink does well, or a source stays, before its trouble is said to be over: on a full disk, a sink takes some
pictures each time it is begun, and what was said of each time would fill a log."""

_Place: TypeAlias = tuple[str, int]
"""A sink's name, and how many of that name come before it: two RTMP keys of one server are shown alike."""


class SinksTold:
    """`tell` is called again and again, by one thread, with how the sinks do."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._restarts: dict[_Place, int] = {}
        self._troubles: defaultdict[_Place, set[str]] = defaultdict(set)  # told, and not over
        self._well_since: dict[_Place, float] = {}
        self._failed: set[_Place] = set()

    def tell(self, statuses: Sequence[SinkStatus]) -> None:
        seen: Counter[str] = Counter()
        for status in statuses:
            place = (status.name, seen[status.name])
            seen[status.name] += 1
            if status.state == "failed":  # for good: no restart that was counted before it is worth a word
                if place not in self._failed:
                    self._failed.add(place)
                    self._say(f"error: sink {status.name} has failed and gets nothing more: {status.last_trouble}")
                continue
            troubles = self._troubles[place]
            is_in_trouble = status.state == "retrying" or status.restarts != self._restarts.get(place, 0)
            self._restarts[place] = status.restarts
            if is_in_trouble and status.last_trouble not in troubles:
                troubles.add(status.last_trouble)
                self._say(f"sink {status.name}: {status.last_trouble}. It is begun again.")
            if self._is_steady(place, is_well=status.state == "ok" and not is_in_trouble) and troubles:
                troubles.clear()
                self._say(f"sink {status.name} goes on")

    def _is_steady(self, place: _Place, *, is_well: bool) -> bool:
        if not is_well:
            self._well_since.pop(place, None)
            return False
        now = self._clock()
        return now - self._well_since.setdefault(place, now) >= STEADY_SECONDS
