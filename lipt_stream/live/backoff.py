"""How long to wait before the next attempt at something that failed."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

FIRST_SECONDS: Final = 0.5


class Backoff:
    """Twice as long each time, at random between half of that and all of it, so that many do not come back together.

    `chance`: gives numbers in [0, 1).
    """

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._longest = FIRST_SECONDS

    def next(self, limit_seconds: float) -> float:
        """Seconds to wait: FIRST_SECONDS at least, `limit_seconds` at most."""
        self._longest = min(2 * self._longest, limit_seconds)
        shortest = max(FIRST_SECONDS, self._longest / 2)
        return shortest + (self._longest - shortest) * self._chance()

    def reset(self) -> None:
        """After a success."""
        self._longest = FIRST_SECONDS
