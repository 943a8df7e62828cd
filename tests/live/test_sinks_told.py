"""Which troubles of sinks are said, and how often."""

from __future__ import annotations

from lipt_stream.live.sink import SinkState, SinkStatus
from lipt_stream.live.sinks_told import SinksTold


def status(state: SinkState, restarts: int, trouble: str = "", name: str = "rtsp://host/a") -> SinkStatus:
    return SinkStatus(name=name, state=state, delivered=0, dropped=0, restarts=restarts, last_trouble=trouble)


def test_each_trouble_is_said_once_and_its_end() -> None:
    said: list[str] = []
    told = SinksTold(said.append)
    other = status("ok", 0, name="film.mkv")
    for one in (
        status("ok", 0),
        status("retrying", 1, "Connection refused"),
        status("retrying", 2, "Connection refused"),
        status("retrying", 3, "No route to host"),
        status("ok", 3, "No route to host"),
        status("ok", 3, "No route to host"),
        status("retrying", 4, "No route to host"),
    ):
        told.tell([one, other])
    assert said == [
        "sink rtsp://host/a: Connection refused. It is begun again.",
        "sink rtsp://host/a: No route to host. It is begun again.",
        "sink rtsp://host/a goes on",
        "sink rtsp://host/a: No route to host. It is begun again.",
    ]


def test_a_trouble_that_was_over_between_two_looks_is_said() -> None:
    said: list[str] = []
    told = SinksTold(said.append)
    told.tell([status("ok", 1, "Invalid argument")])
    assert said == ["sink rtsp://host/a: Invalid argument. It is begun again."]


def test_a_sink_that_can_never_work_is_said_at_once_and_once() -> None:
    said: list[str] = []
    told = SinksTold(said.append)
    for _ in range(3):
        told.tell([status("failed", 0, "The folder does not exist", name="day.mkv"), status("ok", 0)])
    assert said == ["error: sink day.mkv has failed and gets nothing more: The folder does not exist"]


def test_two_sinks_that_are_shown_alike_are_two() -> None:
    said: list[str] = []
    told = SinksTold(said.append)
    for _ in range(3):
        told.tell([status("ok", 1, "Connection refused"), status("ok", 0)])
    assert said == ["sink rtsp://host/a: Connection refused. It is begun again.", "sink rtsp://host/a goes on"]
