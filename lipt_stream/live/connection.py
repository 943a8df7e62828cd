"""One connection to a live source, read by a thread of its own, which may hang inside FFmpeg as long as it likes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from queue import Empty, Full, Queue
from typing import Final, TypeAlias

from lipt_stream.frame import END, End
from lipt_stream.media.live import LiveItem, LiveSource

_HELD: Final = 16  # pictures and packets on their way to the reader
_LOOK_SECONDS: Final = 0.2  # between looks at whether anyone still reads, while there is no room

OpenSource: TypeAlias = Callable[[threading.Event], LiveSource]
"""Connects; ends once the event is set and FFmpeg lets go."""


class Connection:
    """Hands over what a source gives: first the LiveSource itself, then its items, then END or the error.

    The queue belongs to the connection: what one gives late, after it was left, is read by nobody.
    """

    def __init__(self, open_source: OpenSource) -> None:
        self._open = open_source
        self._cancelled = threading.Event()
        self._given: Queue[LiveSource | LiveItem | End | BaseException | None] = Queue(_HELD)
        # A daemon: one that hangs in FFmpeg must not keep the program from ending.
        self._thread = threading.Thread(target=self._read, name="lipt-live-connection", daemon=True)
        self._thread.start()

    def next(self, timeout_seconds: float | None) -> LiveSource | LiveItem | End | None:
        """The next one; None where nothing came in time (None: ever) or `leave` was called. Raises what the source
        raised."""
        try:
            given = self._given.get(timeout=None if timeout_seconds is None else max(0.0, timeout_seconds))
        except Empty:
            return None
        if isinstance(given, BaseException):
            raise given
        return given

    def leave(self) -> None:
        """Wants no more of it, from any thread. The connection ends by itself as soon as FFmpeg lets go."""
        self._cancelled.set()
        try:
            self._given.put_nowait(None)
        except Full:
            return  # then `next` has something to return with anyway

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_seconds: float) -> None:
        self._thread.join(timeout_seconds)

    def _read(self) -> None:
        try:
            with closing(self._open(self._cancelled)) as source:
                self._give(source)
                for item in source:
                    if not self._give(item):
                        return
            self._give(END)
        except BaseException as error:  # noqa: BLE001  `next` raises it again, in the reader's thread
            self._give(error)

    def _give(self, what: LiveSource | LiveItem | End | BaseException) -> bool:
        """Whether anyone still takes it."""
        while not self._cancelled.is_set():
            try:
                self._given.put(what, timeout=_LOOK_SECONDS)
                return True
            except Full:
                continue
        return False
