"""Recordings that are begun and ended while a session runs."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path

from lipt_stream.errors import SettingsError
from lipt_stream.live.broadcast import Broadcast
from lipt_stream.live.outlet import make_sink
from lipt_stream.live.sink import LiveSink
from lipt_stream.live.targets import parse_target


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
        if not os.access(self._folder, os.W_OK):
            raise SettingsError(
                f"Recordings cannot be written to {self._folder.absolute()}", "Name a folder by --record-to"
            )
        with self._lock:
            if self._current is None:
                path = self._folder / f"lipt-stream-{datetime.now():%Y%m%d-%H%M%S}.mkv"
                sink = make_sink(parse_target(str(path)))
                broadcast.add(sink)
                self._current = (str(path), sink)

    def end(self, broadcast: Broadcast) -> None:
        with self._lock:
            if self._current is not None:
                broadcast.remove(self._current[1])
                self._current = None
