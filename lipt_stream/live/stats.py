"""What a live session measures: rates, latency, drops by reason. In memory that does not grow, readable at any time."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from lipt_stream.observe.timings import FRAME, RateMeter, StageTimings, percentile

WINDOW_SECONDS: Final = 10.0
"""Percentiles of latency and the share of reused tiles are those of the last seconds."""

DropReason: TypeAlias = Literal["starting", "paused", "late", "overtaken", "no_slot", "behind", "unreadable"]
"""`starting`: it came while networks were still being compiled. `paused`: while the user paused. `late`: too old to
arrive within the latency. `overtaken`: a newer picture came before its turn. `no_slot`: every slot was in use when it
came. `behind`: it was not decoded, because that takes longer than pictures come. `unreadable`: it could not be
converted."""


@dataclass(frozen=True, slots=True)
class Latency:
    """From a picture's arrival to its handing over to the sinks, in ms; None where nothing was measured: 0 would be the
    best there is."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class LiveMeters:
    """Counts of one session. Pictures come in by one thread and leave by another; any thread may read."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._in, self._out = RateMeter(clock=clock), RateMeter(clock=clock)
        self._latencies: deque[tuple[float, float]] = deque()
        self._tiles: deque[tuple[float, int, int]] = deque()
        self._whole_run = StageTimings()
        self._dropped: Counter[str] = Counter()
        self.frames_in = 0
        self.frames_out = 0
        self.frames_repeated = 0
        self.sounds_left_out = 0

    def came_in(self) -> None:
        with self._lock:
            self.frames_in += 1
            self._in.tick()

    def went_out(self, latency_seconds: float, tiles: int, tiles_reused: int) -> None:
        """One picture is with the sinks; of its `tiles`, some were those of the picture before."""
        now = self._clock()
        self._whole_run.add(FRAME, latency_seconds)
        with self._lock:
            self.frames_out += 1
            self._out.tick()
            self._latencies.append((now, latency_seconds))
            self._tiles.append((now, tiles, tiles_reused))
            for recent in (self._latencies, self._tiles):
                while now - recent[0][0] > WINDOW_SECONDS:
                    recent.popleft()

    def repeated(self) -> None:
        """The last picture was sent again, because there was no new one."""
        with self._lock:
            self.frames_repeated += 1

    def left_out_sound(self) -> None:
        """A packet of sound of another kind than the session's."""
        with self._lock:
            self.sounds_left_out += 1

    def dropped(self, reason: DropReason) -> None:
        with self._lock:
            self._dropped[reason] += 1

    @property
    def fps_in(self) -> float:
        with self._lock:
            return self._in.windowed

    @property
    def fps_usual(self) -> float:
        """At which pictures come in while they come; 0 before the second one."""
        with self._lock:
            return self._in.usual

    @property
    def fps_out(self) -> float:
        with self._lock:
            return self._out.windowed

    @property
    def fps_out_average(self) -> float:
        """From the first picture until now: what is overdue counts."""
        with self._lock:
            return self._out.average_until_now

    @property
    def drops(self) -> Mapping[str, int]:
        """By reason; reasons that never occurred are left out."""
        with self._lock:
            return dict(self._dropped)

    @property
    def reused_share(self) -> float:
        """Which part of all tiles was not computed again, 0..1, over the last seconds."""
        now = self._clock()
        with self._lock:
            recent = [(tiles, reused) for at, tiles, reused in self._tiles if now - at <= WINDOW_SECONDS]
        tiles = sum(tiles for tiles, _ in recent)
        return sum(reused for _, reused in recent) / tiles if tiles else 0.0

    @property
    def latency(self) -> Latency:
        """Over the last seconds."""
        now = self._clock()
        with self._lock:
            recent = sorted(seconds for at, seconds in self._latencies if now - at <= WINDOW_SECONDS)
        if not recent:
            return Latency()
        p50, p95, p99 = (1000 * percentile(recent, percent) for percent in (50, 95, 99))
        return Latency(p50, p95, p99)

    @property
    def latency_of_the_run(self) -> Latency:
        """Over the whole session (see StageTimings for what its percentiles are)."""
        summary = self._whole_run.summary().get(FRAME)
        return Latency(summary.p50_ms, summary.p95_ms, summary.p99_ms) if summary else Latency()
