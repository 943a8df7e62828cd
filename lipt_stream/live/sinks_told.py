"""What is said of sinks that fail and come back: each trouble once, not the same one for hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeAlias

from lipt_stream.live.sink import SinkStatus

_Place: TypeAlias = tuple[str, int]
"""A sink's name, and how many of that name come before it: two RTMP keys of one server are shown alike."""


class SinksTold:
    """`tell` is called again and again, by one thread, with how the sinks do."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._restarts: dict[_Place, int] = {}
        self._troubles: dict[_Place, str] = {}  # told, and not over
        self._failed: set[_Place] = set()

    def tell(self, statuses: Sequence[SinkStatus]) -> None:
        seen: Counter[str] = Counter()
        for status in statuses:
            place = (status.name, seen[status.name])
            seen[status.name] += 1
            if status.state == "failed" and place not in self._failed:
                self._failed.add(place)
                self._say(f"error: sink {status.name} has failed and gets nothing more: {status.last_trouble}")
                continue
            is_new = status.restarts != self._restarts.get(place, 0)
            self._restarts[place] = status.restarts
            if is_new and self._troubles.get(place) != status.last_trouble:
                self._troubles[place] = status.last_trouble
                self._say(f"sink {status.name}: {status.last_trouble}. It is begun again.")
            elif status.state == "ok" and self._troubles.pop(place, None):
                self._say(f"sink {status.name} goes on")
