"""Recordings that are begun and ended while a session runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from lipt_stream.errors import SettingsError
from lipt_stream.live.broadcast import Broadcast
from lipt_stream.live.outlet import make_sink
from lipt_stream.live.sink import LiveSink, SinkStatus
from lipt_stream.live.targets import parse_target

END_SECONDS: Final = 30.0
"""What a recording that is ended may take to reach its disk. A session that ends meanwhile does not wait for it."""


class Recorder:
    """At most one recording at a time, in `folder`. Any thread may call anything.

    `begin` raises SettingsError where the folder is none that can be written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._current: tuple[str, LiveSink] | None = None

    @property
    def name(self) -> str | None:
        """The file of the recording that runs."""
        current = self._current
        return current[0] if current else None

    def begin(self, broadcast: Broadcast) -> None:
        if not (os.access(self._folder, os.W_OK | os.X_OK) and self._folder.is_dir()):
            raise SettingsError(
                f"Recordings cannot be written to {self._folder.absolute()}", "Name a folder by --record-to"
            )
        with self._lock:
            if self._current is None:
                path = self._folder / f"lipt-stream-{datetime.now():%Y%m%d-%H%M%S}.mkv"
                sink = make_sink(parse_target(str(path)))
                broadcast.add(sink)
                self._current = (str(path), sink)

    def end(self, broadcast: Broadcast, say: Callable[[str], None]) -> None:
        """`say` is told, later, what became of it."""
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            broadcast.remove(current[1], END_SECONDS, lambda status: say(_outcome(status)))


def _outcome(status: SinkStatus) -> str:
    return f"recording: {status.name}: " + (f"error: {status.detail}" if status.state == "failed" else "written")
