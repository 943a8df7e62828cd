"""What of a source's coming and going is worth a line of a log that may run for weeks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from lipt_stream.live.feed import FeedStatus

STEADY_SECONDS: Final = 10.0
"""That a source stays before its next fault is told as a new one: a camera that gives pictures for some seconds and
stalls, again and again, would fill a log."""


class SourceTold:
    """Says each fault once, and that the source is back. One that goes again within STEADY_SECONDS is said to come and
    go, and then nothing more until it has stayed for as long. Threads may call at once."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say, self._clock = say, clock
        self._lock = threading.Lock()
        self._faults: set[str] = set()  # told, and not over
        self._back_since: float | None = None
        self._comes_and_goes = False

    def changed(self, status: FeedStatus) -> None:
        """To be called with each new state."""
        with self._lock:
            if status.state == "gone":
                self._gone(status)
            elif status.state == "live" and status.reconnects:
                self._back_since = self._clock()
                if not self._comes_and_goes:
                    self._say(f"source: {status.shown} is back")

    def look(self, status: FeedStatus) -> None:
        """To be called again and again."""
        with self._lock:
            if self._comes_and_goes and self._has_stayed():
                self._begin_anew()
                self._say(f"source: {status.shown} is back, and stays")

    def _gone(self, status: FeedStatus) -> None:
        came_back = self._back_since is not None
        if self._has_stayed():
            self._begin_anew()
        self._back_since = None
        if status.last_fault not in self._faults:  # the same is not said for hours
            self._faults.add(status.last_fault)
            self._say(f"source: {status.last_fault}")
        elif came_back and not self._comes_and_goes:
            self._comes_and_goes = True
            self._say(f"source: {status.shown} comes and goes: nothing more is said of it until it stays")

    def _has_stayed(self) -> bool:
        return self._back_since is not None and self._clock() - self._back_since >= STEADY_SECONDS

    def _begin_anew(self) -> None:
        self._faults.clear()
        self._comes_and_goes = False
