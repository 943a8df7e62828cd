"""Whether the device still computes. A driver that hangs raises nothing: who waits for its picture waits for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from lipt_stream.errors import DeviceError

HUNG_SECONDS: Final = 60.0
"""Of waiting for one picture. What takes longer than that is no live picture on any device."""
_MOST_BETWEEN_LOOKS: Final = 1.0  # counted of the time between two: a process that was stopped has not been looking


class DeviceWatch:
    """Looks again and again at which picture is waited for. Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._awaited: int | None = None
        self._looked_seconds = clock()
        self._waited_seconds = 0.0

    def look(self, awaited: int | None, device: str) -> DeviceError | None:
        """`awaited`: the index of the picture that is waited for, None where none is. The error once it is hopeless."""
        now = self._clock()
        passed, self._looked_seconds = now - self._looked_seconds, now
        if awaited is None or awaited != self._awaited:
            self._awaited, self._waited_seconds = awaited, 0.0
            return None
        self._waited_seconds += min(passed, _MOST_BETWEEN_LOOKS)
        if self._waited_seconds < HUNG_SECONDS:
            return None
        return DeviceError(
            f"{device} has not finished a picture for {HUNG_SECONDS:.0f} s: it hangs",
            "Begin the session anew; if that fails, the driver or the machine",
        )
