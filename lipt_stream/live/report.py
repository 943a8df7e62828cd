"""What a live session did, from its first picture to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipt_stream.live.sink import SinkStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """A session. `fps_out` counts new pictures from the first to the last one; those that were sent again while the
    source was gone are `frames_repeated`. frames_in = frames_out + all that is in `dropped_by_reason` + what was in
    flight when the session ended, at most five pictures. `sounds_dropped` are packets that could not be in step or
    gave no sound."""

    source: str
    seconds: float
    frames_in: int
    frames_out: int
    frames_repeated: int
    frames_damaged: int
    sounds_dropped: int
    dropped_by_reason: Mapping[str, int]
    fps_out: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    faults: int
    reconnects: int
    steps: int
    rung: str
    encoder: str
    peak_rss_mb: float
    notes: tuple[str, ...]
    sinks: tuple[SinkStatus, ...]

    @property
    def frames_dropped(self) -> int:
        return sum(self.dropped_by_reason.values())

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"frames_dropped": self.frames_dropped}
