"""Times that Matroska tells apart: it counts milliseconds, and of two pictures shown at once one would be lost."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final

_LEAST_SECONDS: Final = Fraction(1, 1_000)


class MatroskaTimes:
    """Moves pictures that come less than a millisecond behind the one before them, and no others."""

    def __init__(self, time_base: Fraction) -> None:
        """`time_base`: that of the times, in seconds."""
        self._time_base = time_base
        self._least_ticks = ceil(_LEAST_SECONDS / time_base)
        self._last: int | None = None
        self._count = 0
        self.moved_ticks: dict[int, int] = {}
        """By how much pictures come later than they should, by their number."""

    def next(self, pts: int) -> int:
        """When the next picture comes, whose own time is `pts`."""
        apart = pts if self._last is None else max(pts, self._last + self._least_ticks)
        if apart > pts:
            self.moved_ticks[self._count] = apart - pts
        self._last = apart
        self._count += 1
        return apart

    @property
    def notes(self) -> list[str]:
        if not self.moved_ticks:
            return []
        most_ms = float(1000 * max(self.moved_ticks.values()) * self._time_base)
        return [f"Matroska counts milliseconds: {len(self.moved_ticks)} pictures come up to {most_ms:.2g} ms later"]
