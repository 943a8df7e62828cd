"""The session asked once a second, however many watch: the newest line for each viewer, two minutes for new ones."""

from __future__ import annotations

import json
from collections import deque
from typing import Any, Final

import anyio

from lipt_stream.live.control import Controls
from lipt_stream.web.preview import Preview

HISTORY_SECONDS: Final = 120
_SECONDS_BETWEEN: Final = 1.0
_DRAWN: Final = ("latency_p50_ms", "latency_p95_ms", "fps_out", "fps_target")


class Statistics:
    """Texts for the WebSocket. Used in the server's thread alone; the session is asked in another, so that nobody waits
    for its answer."""

    def __init__(self, controls: Controls, preview: Preview) -> None:
        self._controls = controls
        self._preview = preview
        self._history: deque[dict[str, Any]] = deque(maxlen=HISTORY_SECONDS)
        self._newest = ""

    def greeting(self) -> list[str]:
        """What a new viewer is told first: the last two minutes (oldest first), and the newest line."""
        session = {"type": "session", "history": list(self._history)}
        return [json.dumps(session), self._newest] if self._newest else [json.dumps(session)]

    async def run(self) -> None:
        """Asks and tells, for ever."""
        while True:
            try:
                stats = await anyio.to_thread.run_sync(self._controls.stats)  # which asks `ps` where there is no /proc
            except (OSError, RuntimeError):
                # No descriptor was left for it, or no thread; the viewers see that this second is missing.
                await anyio.sleep(_SECONDS_BETWEEN)
                continue
            self._history.append({field: stats[field] for field in _DRAWN})
            self._newest = json.dumps({"type": "stats", "models": list(self._controls.models), **stats})
            for viewer in self._preview.viewers:
                viewer.put_stats(self._newest)
            await anyio.sleep(_SECONDS_BETWEEN)
