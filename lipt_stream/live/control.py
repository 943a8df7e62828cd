"""What may be asked and wanted of a running session: by the page, the terminal and the metrics, from any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stills:
    """The same moment before and after, RGB uint8: (h, w, 3) and (scale * h, scale * w, 3)."""

    source: NDArray[np.uint8]
    result: NDArray[np.uint8]
    scale: int


class Controls(Protocol):
    """A running session. No call waits for a frame. Raises SettingsError for what makes no sense."""

    @property
    def models(self) -> Sequence[str]:
        """What `choose_model` takes: "auto", then the rungs of the ladder from best to fastest."""
        ...

    def stats(self) -> Mapping[str, object]:
        """The newest line of `--stats`, ready for JSON: see live/stats_line.py for its fields."""
        ...

    def choose_model(self, name: str) -> None:
        """Pin one rung, or "auto": let the deadline decide."""
        ...

    def pause(self, paused: bool) -> None:
        """While paused the last picture is sent again and again, and the source is read and let go."""
        ...

    def record(self, recording: bool) -> str | None:
        """Begin or end a recording. Returns the file's name where one is begun."""
        ...

    def stills(self) -> Stills | None:
        """The newest picture, None before the first."""
        ...
