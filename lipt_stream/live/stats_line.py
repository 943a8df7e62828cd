"""One line of a live session's statistics: what `--stats` writes, the page shows and /metrics is made of."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from lipt_stream.live.feed import FeedStatus
from lipt_stream.live.stats import LiveMeters
from lipt_stream.live.works import Works
from lipt_stream.observe.gpu import GpuSample
from lipt_stream.observe.process import rss_mb


def stats_line(
    meters: LiveMeters,
    source: FeedStatus,
    works: Works | None,
    gpu: GpuSample | None,
    *,
    paused: bool,
    recording: str | None,
) -> Mapping[str, object]:
    """Ready for JSON. `works` is None until there are pictures.

    `time` is Unix time in seconds; rates are of the last 3 s, but `fps_target` is the source's while pictures come from
    it; latencies (None where no picture left) and `reused` (a share, 0..1) of the last 10 s, drops and damage of the
    whole session; `rss_mb` in MiB, None where the system did not say.
    """
    latency, drops = meters.latency, meters.drops
    return {
        "time": round(time.time(), 3),
        "state": "paused" if paused and source.state == "live" else source.state,
        "fps_in": round(meters.fps_in, 2),
        "fps_out": round(meters.fps_out, 2),
        "fps_target": round(1 / works.interval_seconds(), 3) if works else None,
        "latency_p50_ms": _rounded(latency.p50_ms),
        "latency_p95_ms": _rounded(latency.p95_ms),
        "latency_p99_ms": _rounded(latency.p99_ms),
        "dropped": sum(drops.values()),
        "dropped_by_reason": dict(drops),
        "frames_in": meters.frames_in,
        "frames_out": meters.frames_out,
        "frames_damaged": source.damaged,
        "sounds_dropped": sounds_dropped(meters, source, works),
        "rung": works.pilot.rung if works else "",
        "rung_reason": works.pilot.reason if works else "",
        "pinned": works.pilot.is_pinned if works else False,
        "paused": paused,
        "recording": recording,
        "reused": round(meters.reused_share, 4),
        "rss_mb": _memory_mb(),
        "source": {
            "name": source.shown,
            "state": source.state,
            "detail": source.last_fault if source.state != "live" else str(works.engine.source) if works else "",
            "faults": source.faults,
            "reconnects": source.reconnects,
        },
        "sinks": [dataclasses.asdict(status) for status in works.broadcast.statuses()] if works else [],
        "gpu": dataclasses.asdict(gpu) if gpu else None,
    }


def sounds_dropped(meters: LiveMeters, source: FeedStatus, works: Works | None) -> int:
    """Packets of sound that could not be in step, gave no sound, or were of another kind than the session's."""
    return source.sounds_dropped + meters.sounds_left_out + (works.broadcast.sounds_lost if works else 0)


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 1)


def _memory_mb() -> float | None:
    """None where no file can be opened any more, which may pass, and is no reason to end a session."""
    try:
        return round(rss_mb(), 1)
    except OSError:
        return None
