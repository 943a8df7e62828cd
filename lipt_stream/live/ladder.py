"""Which network a live session can afford: a ladder of them, climbed with care and left at once.

Down: as soon as the rate does not hold, which a second of frames shows, and as far as the estimate says. Up: one rung,
when for some seconds there has been room by a margin, and not before STEP_SECONDS after the last step. A rung that did
not hold when it was tried waits twice as long before it is tried again. So no rung is entered twice within
STEP_SECONDS: the picture does not flicker between two sharpnesses.

Estimates are of whole frames: what the present rung takes now, times the ratio that both had when they were warmed up.
They are scaled by the share of the frame that has to be computed (engine/reuse.py): a rung that is too slow for a scene
that moves may do for one that stands still.

Pure logic: the time is passed in, in seconds of any steady clock, and nothing waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lipt_stream.errors import SettingsError, nearest
from lipt_stream.live.frame_window import FrameSummary, FrameWindow

FULL: Final = 0.95  # of the time between frames, above which a rung does not hold
FITS: Final = 0.85  # of it, which a rung to step down to is expected to need at most
ROOM: Final = 0.7  # of it, which a rung to climb to is expected to need at most
DROPS: Final = 0.1  # runs of dropped frames per frame computed, above which a rung does not hold
SETTLE_SECONDS: Final = 0.5  # after the first frame on a new rung, which pays for the step: nothing counts until then
STEP_SECONDS: Final = 10.0  # from any step to the next one up
CALM_SECONDS: Final = 3.0  # that there must have been room before a step up
PROVEN_SECONDS: Final = 60.0  # on a rung, after which its failures are forgotten
LONGEST_WAIT_SECONDS: Final = 640.0
LONGEST_FRAME_SECONDS: Final = 0.5  # for a whole frame of a rung to climb to: its first has nothing to reuse
LEAST_SHARE: Final = 0.1  # of a frame, below which its time says too little of a whole one


@dataclass(frozen=True, slots=True)
class Rung:
    """A network by name, or "lanczos". Of `cost` only ratios count: multiply-adds a pixel, or what compares to them."""

    name: str
    cost: float


@dataclass(frozen=True, slots=True)
class Step:
    """A change of rung, and why, in plain words and figures."""

    at_seconds: float
    from_rung: str
    to_rung: str
    reason: str


class Ladder:
    """Decides on the rung. Every frame is reported, by `computed` or by `dropped`; each may answer with a Step, which
    holds from then on."""

    def __init__(
        self, rungs: Sequence[Rung], warm_up: Mapping[str, float], now_seconds: float, interval_seconds: float
    ) -> None:
        """Begins on the best rung that should hold a frame every `interval_seconds`, or on the last.

        `rungs`: best first. `warm_up`: the seconds that a whole frame took, by name, on at least one of them; the more
        of them, the better the estimates. ValueError where there is none.
        """
        self._rungs = tuple(rungs)
        known = [name for name in self._names if name in warm_up]
        if not known:
            raise ValueError("no rung was warmed up")
        pace = sum(warm_up[name] for name in known) / sum(self._rungs[self._index(name)].cost for name in known)
        self._whole_seconds = [warm_up.get(rung.name, rung.cost * pace) for rung in rungs]  # at the warm-up
        self._trials = [_Trials() for _ in rungs]
        affordable = (i for i, seconds in enumerate(self._whole_seconds) if seconds <= ROOM * interval_seconds)
        self._present = next(affordable, len(rungs) - 1)
        self._slowness = 1.0  # what whole frames take now / what they took at the warm-up
        self._is_pinned = False
        self._window = FrameWindow()
        self._begin(now_seconds, climbed=False)

    @property
    def rung(self) -> str:
        """The one in use."""
        return self._rungs[self._present].name

    @property
    def is_pinned(self) -> bool:
        return self._is_pinned

    def computed(
        self,
        now_seconds: float,
        busy_seconds: float,
        interval_seconds: float,
        share: float,
        network_share: float,
    ) -> Step | None:
        """A frame was done now, on the present rung. `busy_seconds`: how long it kept what computes frames busy.
        `interval_seconds`: between frames of the source. The shares are those of its `Work`."""
        if self._settled_at is None:
            self._settled_at = now_seconds + SETTLE_SECONDS
        if now_seconds < self._settled_at:
            return None
        self._window.computed(now_seconds, busy_seconds, interval_seconds, share, network_share)
        return self._judged(now_seconds)

    def dropped(self, now_seconds: float, interval_seconds: float) -> Step | None:
        """A frame was dropped now because it was late, or would have been."""
        if self._settled_at is None or now_seconds < self._settled_at:
            return None
        self._window.dropped(now_seconds, interval_seconds)
        return self._judged(now_seconds)

    def pin(self, name: str | None, now_seconds: float) -> Step | None:
        """Stay on a rung, whatever it costs; None lets the deadline decide again. SettingsError for an unknown name."""
        index = self._present if name is None else self._index(name)
        self._is_pinned = name is not None
        if index != self._present:
            return self._step(index, now_seconds, f"{name} was asked for")
        self._begin(now_seconds, climbed=False)
        return None

    def cannot(self, name: str, now_seconds: float, reason: str) -> Step | None:
        """A rung above the last does not work at all: it is not climbed to again, and left for the one below where it
        is the present one, whoever asked for it."""
        index = self._index(name)
        self._trials[index].not_before = math.inf
        if index != self._present:
            return None
        self._is_pinned = False
        return self._step(index + 1, now_seconds, f"{name} does not work: {reason}")

    def _judged(self, now: float) -> Step | None:
        frames = self._window.summary()
        if frames is None:
            return None
        if frames.share >= LEAST_SHARE:
            self._slowness = frames.busy_seconds / frames.share / self._whole_seconds[self._present]
        if now - self._entered_at >= PROVEN_SECONDS:
            self._trials[self._present].proven()
        if self._is_pinned:
            return None
        if frames.busy_seconds > FULL * frames.interval_seconds:
            reason = f"{self.rung} takes {_of(frames.busy_seconds, frames)}"
            return self._down(now, self._affordable(frames), reason)
        if frames.drops_per_frame > DROPS:
            reason = f"{self.rung} dropped {frames.dropped} of {frames.frames} frames"
            return self._down(now, self._present + 1, reason)
        return self._up(now, frames)

    def _down(self, now: float, to: int, reason: str) -> Step | None:
        self._room_since = None
        if self._present == len(self._rungs) - 1:
            return None
        if self._has_climbed and now - self._entered_at < PROVEN_SECONDS:
            self._trials[self._present].failed(now)
        return self._step(to, now, reason)

    def _affordable(self, frames: FrameSummary) -> int:
        """The best lower rung that should hold, or the last."""
        most = FITS * frames.interval_seconds / frames.busy_seconds * self._whole_seconds[self._present]
        lower = range(self._present + 1, len(self._rungs))
        return next((i for i in lower if self._whole_seconds[i] <= most), len(self._rungs) - 1)

    def _up(self, now: float, frames: FrameSummary) -> Step | None:
        better = self._present - 1
        if better < 0:
            return None
        interval = frames.interval_seconds
        whole_seconds = self._whole_seconds[better] * self._slowness
        seconds = whole_seconds * frames.network_share
        has_room = seconds <= ROOM * interval and whole_seconds <= max(LONGEST_FRAME_SECONDS, interval)
        if not has_room or frames.dropped:
            self._room_since = None
            return None
        if self._room_since is None:
            self._room_since = now
        is_calm = now - self._room_since >= CALM_SECONDS and now - self._entered_at >= STEP_SECONDS
        if not is_calm or now < self._trials[better].not_before:
            return None
        return self._step(better, now, f"{self._names[better]} should take {_of(seconds, frames)}")

    def _step(self, to: int, now: float, reason: str) -> Step:
        step = Step(now, self.rung, self._names[to], reason)
        climbed = to < self._present and not self._is_pinned
        self._present = to
        self._begin(now, climbed=climbed)
        return step

    def _begin(self, now: float, *, climbed: bool) -> None:
        """Watch the present rung from its first frame on."""
        self._entered_at = now
        self._has_climbed = climbed
        self._settled_at: float | None = None
        self._room_since: float | None = None
        self._window.clear()

    @property
    def _names(self) -> list[str]:
        return [rung.name for rung in self._rungs]

    def _index(self, name: str) -> int:
        if name not in self._names:
            raise SettingsError(f"No rung is called {name!r}", nearest(name, self._names))
        return self._names.index(name)


class _Trials:
    """How climbing to one rung went."""

    def __init__(self) -> None:
        self.not_before = float("-inf")  # may it be tried again
        self._wait_seconds = STEP_SECONDS

    def failed(self, now: float) -> None:
        self._wait_seconds = min(2 * self._wait_seconds, LONGEST_WAIT_SECONDS)
        self.not_before = now + self._wait_seconds

    def proven(self) -> None:
        self._wait_seconds = STEP_SECONDS


def _of(seconds: float, frames: FrameSummary) -> str:
    return f"{seconds * 1000:.0f} ms of the {frames.interval_seconds * 1000:.0f} ms that a frame has"
