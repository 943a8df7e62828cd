"""What a live session did, from its first picture to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lipt_stream.live.feed import FeedStatus
from lipt_stream.live.sink import SinkStatus
from lipt_stream.live.stats import LiveMeters
from lipt_stream.live.stats_line import sounds_dropped
from lipt_stream.live.works import Works
from lipt_stream.observe.process import peak_rss_mb


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """A session. `fps_out` counts new pictures from the first one to the session's end; those sent again while the
    source was gone are `frames_repeated`. frames_in = frames_out + all that is in `dropped_by_reason` + what was in
    flight when the session ended, at most five pictures. `sounds_dropped` are packets that could not be in step,
    gave no sound, or were of another kind than the session's. Latencies are None where no picture left."""

    source: str
    seconds: float
    frames_in: int
    frames_out: int
    frames_repeated: int
    frames_damaged: int
    sounds_dropped: int
    dropped_by_reason: Mapping[str, int]
    fps_out: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
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


def live_report(
    meters: LiveMeters,
    source: FeedStatus,
    works: Works | None,
    *,
    seconds: float,
    fps_out: float,
    notes: Sequence[str],
) -> LiveReport:
    """`works` is None where there never was a picture. `seconds` and `fps_out` are those of the time with pictures;
    `notes` what the session itself has to say, behind what source and works say."""
    latency = meters.latency_of_the_run
    return LiveReport(
        source=source.shown,
        seconds=seconds,
        frames_in=meters.frames_in,
        frames_out=meters.frames_out,
        frames_repeated=meters.frames_repeated,
        frames_damaged=source.damaged,
        sounds_dropped=sounds_dropped(meters, source, works),
        dropped_by_reason=meters.drops,
        fps_out=fps_out,
        latency_p50_ms=latency.p50_ms,
        latency_p95_ms=latency.p95_ms,
        latency_p99_ms=latency.p99_ms,
        faults=source.faults,
        reconnects=source.reconnects,
        steps=works.pilot.steps if works else 0,
        rung=works.pilot.rung if works else "",
        encoder=works.broadcast.encoder_name if works else "",
        peak_rss_mb=peak_rss_mb(),
        notes=(*source.notes, *(works.fit.notes if works else ()), *notes),
        sinks=tuple(works.broadcast.statuses()) if works else (),
    )
