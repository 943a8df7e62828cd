"""The last second of frames: what they took, and how many were dropped."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_SECONDS: Final = 1.0
WINDOW_FRAMES: Final = 4  # of the source, that the window spans at least
LEAST_COMPUTED: Final = 2  # frames that anything can be said of: the longest is left out
ENOUGH: Final = 0.9  # of the window, that frames must cover to be judged by


@dataclass(frozen=True, slots=True)
class _Frame:
    at_seconds: float
    busy_seconds: float | None  # None: dropped
    interval_seconds: float
    share: float
    network_share: float


@dataclass(frozen=True, slots=True)
class FrameSummary:
    """Averages of a window's frames; of those computed, the one that took longest is left out: a hiccup is no load."""

    busy_seconds: float
    share: float
    network_share: float
    interval_seconds: float
    frames: int
    dropped: int
    drops_per_frame: float
    """Runs of dropped frames per computed one, 0 for a single run: a machine that stood still for a moment drops many
    frames at once, one that is overloaded drops some again and again."""


class FrameWindow:
    """Frames of the last WINDOW_SECONDS, of WINDOW_FRAMES intervals where that is longer, or LEAST_COMPUTED of them."""

    def __init__(self) -> None:
        self._frames: deque[_Frame] = deque()

    def clear(self) -> None:
        self._frames.clear()

    def computed(
        self, now: float, busy_seconds: float, interval_seconds: float, share: float, network_share: float
    ) -> None:
        self._add(_Frame(now, busy_seconds, interval_seconds, share, network_share))

    def dropped(self, now: float, interval_seconds: float) -> None:
        self._add(_Frame(now, None, interval_seconds, 0.0, 0.0))

    def summary(self) -> FrameSummary | None:
        """None where the frames do not fill the window: after a step, and when the source stood still."""
        times = [frame.busy_seconds for frame in self._frames]
        intervals = [frame.interval_seconds for frame in self._frames]
        covered = sum(max(taken or 0.0, interval) for taken, interval in zip(times, intervals, strict=True))
        computed = sorted(
            (frame.busy_seconds, frame.share, frame.network_share)
            for frame in self._frames
            if frame.busy_seconds is not None
        )
        if len(computed) < LEAST_COMPUTED or covered < ENOUGH * _span_seconds(intervals[-1]):
            return None
        del computed[-1]
        drops = [taken is None for taken in times]
        runs = sum(now and not before for before, now in itertools.pairwise([False, *drops]))
        busy, share, network_share = (sum(values) / len(computed) for values in zip(*computed, strict=True))
        return FrameSummary(
            busy_seconds=busy,
            share=share,
            network_share=network_share,
            interval_seconds=sum(intervals) / len(intervals),
            frames=len(times),
            dropped=sum(drops),
            drops_per_frame=runs / len(computed) if runs > 1 else 0.0,
        )

    def _add(self, frame: _Frame) -> None:
        self._frames.append(frame)
        since = frame.at_seconds - _span_seconds(frame.interval_seconds)
        while self._frames[0].at_seconds <= since and self._can_spare(self._frames[0]):
            self._frames.popleft()

    def _can_spare(self, frame: _Frame) -> bool:
        """Frames that take longer than the window are judged by LEAST_COMPUTED of them."""
        computed = sum(other.busy_seconds is not None for other in self._frames)
        return frame.busy_seconds is None or computed > LEAST_COMPUTED


def _span_seconds(interval_seconds: float) -> float:
    return max(WINDOW_SECONDS, WINDOW_FRAMES * interval_seconds)
