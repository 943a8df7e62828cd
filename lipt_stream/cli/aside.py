"""What is said while a live session runs must not hold it: a terminal may be held (Ctrl-S), a pipe read by nobody."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

_MOST_WAITING: Final = 100


class Aside:
    """Does things one after the other in a thread of its own. What finds a hundred others waiting is not done.

    Any thread may call anything, a signal's handler `do`.
    """

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._error: BaseException | None = None
        # A daemon: one that is held inside a write must not keep the program from ending.
        threading.Thread(target=self._work, name=f"lipt-{name}", daemon=True).start()

    def do(self, work: Callable[[], object]) -> None:
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(work)

    def do_last(self, work: Callable[[], object]) -> None:
        """The one thing for which all others are given up where a hundred wait: nobody has taken those for long."""
        if self._waiting.qsize() >= _MOST_WAITING:
            self._give_up()
        self._waiting.put(work)

    def finish(self, timeout_seconds: float) -> bool:
        """Whether all that was asked for is done, or was in time; nothing more may be asked for. If not, the thread is
        held, and only `os._exit` ends the program without it. Raises what something of it raised."""
        is_done = threading.Event()
        self._waiting.put(is_done.set)
        self._waiting.put(None)
        in_time = is_done.wait(timeout_seconds)
        if self._error:
            raise self._error
        return in_time

    def _give_up(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                self._waiting.get_nowait()

    def _work(self) -> None:
        while work := self._waiting.get():
            try:
                work()
            except BaseException as error:  # noqa: BLE001  `finish` raises it, in the thread that waits for it
                self._error = self._error or error
