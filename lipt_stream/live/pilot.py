"""Puts pictures through the engine on the rung that the ladder is on, and tells the ladder how that went."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from lipt_stream.engine.device_errors import is_out_of_memory
from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.errors import DeviceError
from lipt_stream.live.ladder import Ladder, Step
from lipt_stream.live.rungs import Rungs

_REMEMBER: Final = 0.8  # of the old value, in the running mean of what a picture takes


class LadderPilot:
    """Implements `journey.Pilot`. The ladder is asked from several threads: one lock guards it."""

    def __init__(
        self,
        engine: Engine,
        rungs: Rungs,
        interval_seconds: Callable[[], float],
        on_step: Callable[[Step], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Warms up the rungs, and begins on the best that should hold. `interval_seconds`: between pictures of the
        source, as far as is known now."""
        self._engine, self._rungs, self._clock = engine, rungs, clock
        self._interval_seconds, self._on_step = interval_seconds, on_step
        self._lock = threading.Lock()
        measured = rungs.warm_up(engine, interval_seconds())
        self._ladder = Ladder(rungs.ladder, measured, clock(), interval_seconds())
        self._in_use = ""
        self._on_gpu = engine.upscaler.device.type == "cuda"
        self._busy: dict[int, float] = {}  # seconds that submitting a slot's picture took, by its index
        self._expected_seconds = measured.get(self._ladder.rung, 0.0)
        self.reason = "expected to hold the rate" if measured else ""
        self.steps = 0

    @property
    def rung(self) -> str:
        with self._lock:
            return self._ladder.rung

    @property
    def is_pinned(self) -> bool:
        with self._lock:
            return self._ladder.is_pinned

    @property
    def expected_seconds(self) -> float:
        return self._expected_seconds

    @property
    def keeps_up(self) -> bool:
        return self._expected_seconds <= self._interval_seconds()

    def begin_on(self, name: str) -> None:
        """Pin before the first picture, which is no step of the ladder. SettingsError for an unknown name."""
        with self._lock:
            self._ladder.pin(name, self._clock())
        self.reason = "asked for"

    def pin(self, name: str | None) -> None:
        """See Ladder.pin. SettingsError for an unknown name."""
        with self._lock:
            step = self._ladder.pin(name, self._clock())
        self.reason = "asked for" if name else "left to the deadline"
        self._tell(step)

    def submit(self, slot: Slot) -> None:
        while True:
            rung = self.rung
            try:
                self._submit(slot, rung)
                return
            except DeviceError as error:
                if rung == self._rungs.names[-1] or error.__cause__ is None or not is_out_of_memory(error.__cause__):
                    raise
                with self._lock:
                    step = self._ladder.cannot(rung, self._clock(), error.message)
                self._tell(step)

    def _submit(self, slot: Slot, rung: str) -> None:
        if rung != self._in_use:
            self._engine.use(self._rungs[rung])
            self._in_use = rung
        began = self._clock()
        self._engine.submit(slot)
        assert slot.frame is not None
        self._busy[slot.frame.index] = self._clock() - began

    def dropped(self) -> None:
        with self._lock:
            step = self._ladder.dropped(self._clock(), self._interval_seconds())
        self._tell(step)

    def landed(self, slot: Slot) -> tuple[int, int]:
        assert slot.frame is not None
        busy = self._busy.pop(slot.frame.index)
        if self._on_gpu:  # submitting only enqueued it
            busy = slot.events["network"].seconds
        self._expected_seconds = _REMEMBER * self._expected_seconds + (1 - _REMEMBER) * busy
        work = slot.work
        with self._lock:
            step = self._ladder.computed(self._clock(), busy, self._interval_seconds(), work.share, work.network_share)
        self._tell(step)
        return work.tiles, work.reused

    def _tell(self, step: Step | None) -> None:
        if step is not None:
            self.reason = step.reason
            self.steps += 1
            self._on_step(step)
