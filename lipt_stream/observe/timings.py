"""Stage clocks and frame rates, in memory that does not grow with the film."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

STAGES: Final = ("decode", "upload", "network", "download", "encode")
FRAME: Final = "frame"  # the latency of a whole frame, from the start of its decoding to its end in the sink
RESERVOIR: Final = 2048  # durations kept per stage: the 99th percentile then rests on the 20 longest


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSummary:
    """How long one stage took. Count, total, mean and maximum are exact; percentiles are exact up to RESERVOIR
    durations and from then on those of a uniform random sample of that size."""

    count: int
    total_seconds: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class StageTimings:
    """Durations by stage. Stages may be timed by different threads: each has its own lock, which only a reader of the
    summary ever contends for."""

    def __init__(self) -> None:
        self._clocks = {stage: _Clock() for stage in (*STAGES, FRAME)}

    @contextmanager
    def measure(self, stage: str) -> Generator[None]:
        """Time the block. A block that raises is not counted. KeyError for a stage that is none."""
        clock = self._clocks[stage]
        began = time.perf_counter()
        yield
        clock.add(time.perf_counter() - began)

    def add(self, stage: str, seconds: float) -> None:
        """Count one duration of `stage`. KeyError for a stage that is none."""
        self._clocks[stage].add(seconds)

    def forget(self) -> None:
        """Count anew: durations that ended before, those of warming up, are in no summary."""
        self._clocks = {stage: _Clock() for stage in self._clocks}

    def summary(self) -> Mapping[str, StageSummary]:
        """By stage, in the order of the pipeline; stages that never ran are left out."""
        summaries = {stage: clock.summary() for stage, clock in self._clocks.items()}
        return {stage: summary for stage, summary in summaries.items() if summary is not None}


class _Clock:
    """Durations of one stage: exact sums, and a uniform sample (Vitter's algorithm R) for percentiles."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(0)  # repeatable, and private: no one else's sequence is disturbed
        self._count = 0
        self._total = 0.0
        self._longest = 0.0
        self._sample: list[float] = []

    def add(self, seconds: float) -> None:
        with self._lock:
            self._count += 1
            self._total += seconds
            self._longest = max(self._longest, seconds)
            if len(self._sample) < RESERVOIR:
                self._sample.append(seconds)
            elif (place := self._random.randrange(self._count)) < RESERVOIR:
                self._sample[place] = seconds

    def summary(self) -> StageSummary | None:
        with self._lock:
            count, total, longest, sample = self._count, self._total, self._longest, sorted(self._sample)
        if not count:
            return None
        return StageSummary(
            count=count,
            total_seconds=total,
            mean_ms=1000 * total / count,
            p50_ms=1000 * percentile(sample, 50),
            p95_ms=1000 * percentile(sample, 95),
            p99_ms=1000 * percentile(sample, 99),
            max_ms=1000 * longest,
        )


def percentile(ordered: list[float], percent: float) -> float:
    """By linear interpolation between the two nearest ranks of `ordered` (ascending, not empty), as NumPy does."""
    rank = (len(ordered) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


class RateMeter:
    """Frames per second: over the last `window_seconds`, and on average since the first tick. One thread ticks.

    Rates are of whole intervals between ticks, so n + 1 ticks in a second are n frames per second, and 0 before the
    second tick. While no tick comes, `windowed` falls, and is 0 once none came for the window and for two intervals: a
    stall shows at once, not only when it is over. `usual` stays at what it was before.
    """

    def __init__(self, window_seconds: float = 3.0, clock: Callable[[], float] = time.perf_counter) -> None:
        self._window_seconds = window_seconds
        self._clock = clock
        self._count = 0
        self._first = 0.0
        self._recent: deque[float] = deque()
        self.usual = 0.0
        """Frames per second while ticks come; 0 before the second one."""

    def tick(self) -> None:
        """One frame is done."""
        now = self._clock()
        if not self._count:
            self._first = now
        if self._stands_still(now):
            self._recent.clear()
        self._count += 1
        self._recent.append(now)
        self._forget(now)
        if (span := now - self._recent[0]) > 0:
            self.usual = (len(self._recent) - 1) / span

    @property
    def windowed(self) -> float:
        """Frames per second over the last window."""
        now = self._clock()
        if self._stands_still(now):
            return 0.0
        self._forget(now)
        intervals = len(self._recent) - 1
        if intervals < 1:
            return 0.0
        return self._rate(intervals, self._recent[0])

    def _forget(self, now: float) -> None:
        # Two ticks stay, however old: a rate below one frame per window is still a rate.
        while len(self._recent) > 2 and now - self._recent[0] > self._window_seconds:
            self._recent.popleft()

    def _stands_still(self, now: float) -> bool:
        intervals = len(self._recent) - 1
        if intervals < 1:
            return False
        interval = (self._recent[-1] - self._recent[0]) / intervals
        return now - self._recent[-1] > max(self._window_seconds, 2 * interval)

    @property
    def average(self) -> float:
        """Frames per second from the first tick to the last."""
        span = self._recent[-1] - self._first if self._count > 1 else 0.0
        return (self._count - 1) / span if span > 0 else 0.0

    @property
    def average_until_now(self) -> float:
        """Frames per second since the first tick. Like `windowed` it falls while no tick comes."""
        return self._rate(self._count - 1, self._first) if self._count > 1 else 0.0

    def _rate(self, intervals: int, since: float) -> float:
        span = self._recent[-1] - since
        overdue = max(0.0, self._clock() - self._recent[-1] - span / intervals)
        return intervals / (span + overdue) if span + overdue > 0 else 0.0

    @property
    def elapsed_seconds(self) -> float:
        """Since the first tick; 0 before it."""
        return self._clock() - self._first if self._count else 0.0
