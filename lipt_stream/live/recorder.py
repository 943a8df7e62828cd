"""Recordings that are begun and ended while a session runs."""

from __future__ import annotations

import itertools
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

    def __init__(self, folder: Path, now: Callable[[], datetime] = datetime.now) -> None:
        """`now`: what recordings are named by. It may be set back, as clocks are in autumn."""
        self._folder, self._now = folder, now
        self._lock = threading.Lock()
        self._names_of_this_second: set[str] = set()
        self._current: tuple[str, LiveSink] | None = None

    @property
    def name(self) -> str | None:
        """The file of the recording that runs: not of one that has failed, which its sink tells of."""
        current = self._current
        return current[0] if current and current[1].status().state != "failed" else None

    def begin(self, broadcast: Broadcast) -> None:
        if not (os.access(self._folder, os.W_OK | os.X_OK) and self._folder.is_dir()):
            raise SettingsError(
                f"Recordings cannot be written to {self._folder.absolute()}", "Name a folder by --record-to"
            )
        with self._lock:
            if self.name is None:
                path = str(self._folder / self._free_name())
                sink = make_sink(parse_target(path))
                broadcast.add(sink)
                self._current = (path, sink)

    def end(self, broadcast: Broadcast, say: Callable[[str], None]) -> None:
        """`say` is told, later, what became of it."""
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            broadcast.remove(current[1], END_SECONDS, lambda status: say(_outcome(status)))

    def _free_name(self) -> str:
        """The second's, or with -2 and so on: of no file, and of none that the recording before has still to make."""
        second = f"lipt-stream-{self._now():%Y%m%d-%H%M%S}"
        taken = {name for name in self._names_of_this_second if name.startswith(second)}
        numbered = (f"{second}-{number}.mkv" for number in itertools.count(2))
        names = itertools.chain([f"{second}.mkv"], numbered)
        name = next(name for name in names if name not in taken and not (self._folder / name).exists())
        self._names_of_this_second = taken | {name}
        return name


def _outcome(status: SinkStatus) -> str:
    return f"recording: {status.name}: " + (f"error: {status.detail}" if status.state == "failed" else "written")
