"""Which faults of a source are said, and how often."""

from __future__ import annotations

from lipt_stream.live.feed import FeedStatus
from lipt_stream.live.source_told import SourceTold

STALL, REFUSED = "No picture for 3 s", "Connection refused"


class Camera:
    """Its `seconds` are the clock, its `said` the log."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.said: list[str] = []
        self.told = SourceTold(self.said.append, clock=lambda: self.seconds)

    def goes(self, fault: str) -> None:
        self.told.changed(FeedStatus(shown="camera", state="gone", last_fault=fault))

    def lives(self, seconds: int, reconnects: int = 1) -> None:
        status = FeedStatus(shown="camera", state="live", reconnects=reconnects)
        self.told.changed(status)
        for _ in range(seconds):
            self.seconds += 1
            self.told.look(status)


def test_each_fault_is_said_once_and_its_end() -> None:
    camera = Camera()
    camera.lives(60, reconnects=0)
    for fault in (STALL, REFUSED, REFUSED, STALL, REFUSED):  # of five attempts
        camera.goes(fault)
    camera.lives(60)
    camera.goes(STALL)
    camera.lives(60)
    once = [f"source: {STALL}", f"source: {REFUSED}", "source: camera is back"]
    assert camera.said == [*once, f"source: {STALL}", "source: camera is back"]


def test_the_fault_of_one_that_was_waited_for_at_first_is_said_when_it_comes_again() -> None:
    camera = Camera()
    camera.goes(REFUSED)
    camera.lives(60, reconnects=0)
    camera.goes(REFUSED)
    assert camera.said == [f"source: {REFUSED}"] * 2


def test_a_camera_that_comes_and_goes_all_day_fills_no_log() -> None:
    camera = Camera()
    for _ in range(10_000):
        camera.goes(STALL)
        camera.lives(4)
    camera.lives(60)
    camera.goes(STALL)
    assert camera.said == [
        f"source: {STALL}",
        "source: camera is back",
        "source: camera comes and goes: this is not said again until it stays",
        "source: camera is back, and stays",
        f"source: {STALL}",
    ]


def test_another_fault_is_said_even_of_one_that_comes_and_goes() -> None:
    camera = Camera()
    for fault in (STALL, STALL, REFUSED, STALL):
        camera.goes(fault)
        camera.lives(4)
    assert camera.said[-1] == f"source: {REFUSED}"
