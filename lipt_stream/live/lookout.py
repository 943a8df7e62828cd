"""How a session waits: it looks whether it is to end, and tells how it does each second."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

TELL_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05

T = TypeVar("T")


class Lookout:
    """Used by one thread. `has_left_behind`: some work still runs in a thread of its own, and nobody waits for it."""

    def __init__(self, tell: Callable[[], None], is_over: Callable[[], bool]) -> None:
        self._tell, self._is_over = tell, is_over
        self._told = -math.inf
        self.has_left_behind = False

    def wait(self, is_done: Callable[[], bool], limit_seconds: float | None = None) -> bool:
        """Whether it is done before all is over, or the time is."""
        until = math.inf if limit_seconds is None else time.monotonic() + limit_seconds
        while not is_done():
            now = time.monotonic()
            if now >= until or self._is_over():
                return False
            if now - self._told >= TELL_SECONDS:
                self._told = max(self._told + TELL_SECONDS, now - TELL_SECONDS / 2)
                self._tell()
            time.sleep(_LOOK_SECONDS)
        return True

    def result(self, work: Callable[[], T]) -> T | None:
        """What `work` returns or raises, however long it takes. None, and it is left behind, where all is over first.

        A signal cannot reach what the calling thread does inside a library, such as compiling a network.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  whoever waits raises it
                future.set_exception(error)

        threading.Thread(target=run, name="lipt-live-work", daemon=True).start()
        if self.wait(future.done):
            return future.result()
        self.has_left_behind = True
        return None
