"""What is said of sinks that fail and come back: each trouble once, not the same one for hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lipt_stream.live.sink import SinkStatus


class SinksTold:
    """`tell` is called again and again, by one thread, with how the sinks do."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._restarts: dict[str, int] = {}  # by the sinks' names
        self._troubles: dict[str, str] = {}  # told, and not over

    def tell(self, statuses: Sequence[SinkStatus]) -> None:
        for status in statuses:
            is_new = status.restarts != self._restarts.get(status.name, 0)
            self._restarts[status.name] = status.restarts
            if is_new and self._troubles.get(status.name) != status.last_trouble:
                self._troubles[status.name] = status.last_trouble
                self._say(f"sink {status.name}: {status.last_trouble}. It is begun again.")
            elif status.state == "ok" and self._troubles.pop(status.name, None):
                self._say(f"sink {status.name} goes on")
