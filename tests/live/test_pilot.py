"""The pilot: a rung that fails is left for the next one, and the last one's failure is the session's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from lipt_stream.errors import DeviceError
from lipt_stream.live.ladder import Rung, Step
from lipt_stream.live.pilot import LadderPilot


@dataclass
class Memory:
    """Stands for an Engine whose memory holds some networks only."""

    too_large: set[str]
    used: str = ""
    done: list[str] = field(default_factory=list[str])
    upscaler: Any = field(default_factory=lambda: SimpleNamespace(device=SimpleNamespace(type="cpu")))

    def use(self, name: str) -> None:
        self.used = name

    def submit(self, slot: object) -> None:
        del slot
        if self.used in self.too_large:
            raise DeviceError("Out of memory while upscaling a frame", "Use a smaller --model") from MemoryError()
        self.done.append(self.used)


class Three:
    """Stands for Rungs."""

    names = ("tiny", "nano", "lanczos")
    ladder = (Rung("tiny", 8.0), Rung("nano", 1.0), Rung("lanczos", 0.05))

    def warm_up(self, engine: Memory, interval_seconds: float) -> Mapping[str, float]:
        del engine, interval_seconds
        return {"tiny": 0.01, "nano": 0.002, "lanczos": 0.001}

    def __getitem__(self, name: str) -> str:
        return name


def begun(*too_large: str) -> tuple[LadderPilot, Memory, list[Step]]:
    memory, steps = Memory(set(too_large)), list[Step]()
    pilot = LadderPilot(memory, Three(), lambda: 1 / 30, steps.append)  # type: ignore[arg-type]
    return pilot, memory, steps


SLOT: Any = SimpleNamespace(frame=SimpleNamespace(index=0))


def test_a_rung_that_is_too_large_is_left_for_the_next_one() -> None:
    pilot, memory, steps = begun("tiny")
    pilot.submit(SLOT)
    pilot.submit(SLOT)
    assert memory.done == ["nano", "nano"]
    (step,) = steps
    assert (step.from_rung, step.to_rung) == ("tiny", "nano")
    assert step.reason == "tiny does not work: Out of memory while upscaling a frame"


def test_one_that_was_asked_for_is_left_too() -> None:
    pilot, memory, _ = begun("tiny", "nano")
    pilot.pin("nano")
    pilot.submit(SLOT)
    assert (memory.done, pilot.is_pinned) == (["lanczos"], False)


def test_a_gpu_that_fails_is_no_matter_of_the_rung() -> None:
    pilot, memory, steps = begun()

    def fail(slot: object) -> None:
        del slot
        raise DeviceError("The GPU failed", "Run `lipt-stream doctor`")

    memory.submit = fail  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="The GPU failed"):
        pilot.submit(SLOT)
    assert steps == []


def test_the_last_ones_failure_is_told() -> None:
    pilot, _, _ = begun("tiny", "nano", "lanczos")
    with pytest.raises(DeviceError, match="Out of memory"):
        pilot.submit(SLOT)
