"""What of a source's coming and going is worth a line of a log that may run for weeks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lipt_stream.live.feed import FeedStatus
from lipt_stream.live.sinks_told import STEADY_SECONDS


class SourceTold:
    """Says each fault once, and that the source is back. One that goes again within STEADY_SECONDS is said to come and
    go; then only faults that are new are said, until it has stayed for as long. Threads may call at once."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._faults: set[str] = set()  # told, and not over
        self._live_since: float | None = None
        self._comes_and_goes = False

    def changed(self, status: FeedStatus) -> None:
        """To be called with each new state."""
        with self._lock:
            if status.state == "gone":
                self._gone(status)
            elif status.state == "live":
                self._live_since = self._clock()
                if status.reconnects and not self._comes_and_goes:
                    self._say(f"source: {status.shown} is back")

    def look(self, status: FeedStatus) -> None:
        """To be called again and again."""
        with self._lock:
            if self._comes_and_goes and self._has_stayed():
                self._begin_anew()
                self._say(f"source: {status.shown} is back, and stays")

    def _gone(self, status: FeedStatus) -> None:
        was_live = self._live_since is not None
        if self._has_stayed():
            self._begin_anew()
        self._live_since = None
        if status.last_fault not in self._faults:  # the same is not said for hours
            self._faults.add(status.last_fault)
            self._say(f"source: {status.last_fault}")
        elif was_live and not self._comes_and_goes:
            self._comes_and_goes = True
            self._say(f"source: {status.shown} comes and goes: this is not said again until it stays")

    def _has_stayed(self) -> bool:
        return self._live_since is not None and self._clock() - self._live_since >= STEADY_SECONDS

    def _begin_anew(self) -> None:
        self._faults.clear()
        self._comes_and_goes = False
