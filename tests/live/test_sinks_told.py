"""Which troubles of sinks are said, and how often."""

from __future__ import annotations

import pytest

from lipt_stream.live.sink import SinkState, SinkStatus
from lipt_stream.live.sinks_told import SinksTold


def status(state: SinkState, restarts: int, trouble: str = "", name: str = "rtsp://host/a") -> SinkStatus:
    return SinkStatus(name=name, state=state, delivered=0, dropped=0, restarts=restarts, last_trouble=trouble)


def said_of(*statuses: SinkStatus, others: tuple[SinkStatus, ...] = ()) -> list[str]:
    """What is said where a sink does as `statuses` tell, one a second."""
    said: list[str] = []
    seconds = 0
    told = SinksTold(said.append, clock=lambda: seconds)
    for seconds, one in enumerate(statuses):  # noqa: B007 the clock reads it
        told.tell([one, *others])
    return said


def test_each_trouble_is_said_once_and_its_end() -> None:
    assert said_of(
        status("ok", 0),
        status("retrying", 1, "Connection refused"),
        status("retrying", 2, "Connection refused"),
        status("retrying", 3, "No route to host"),
        *[status("ok", 3, "No route to host")] * 15,
        status("retrying", 4, "No route to host"),
        others=(status("ok", 0, name="film.mkv"),),
    ) == [
        "sink rtsp://host/a: Connection refused. It is begun again.",
        "sink rtsp://host/a: No route to host. It is begun again.",
        "sink rtsp://host/a goes on",
        "sink rtsp://host/a: No route to host. It is begun again.",
    ]


def test_a_trouble_that_was_over_between_two_looks_is_said() -> None:
    assert said_of(status("ok", 1, "Invalid argument")) == [
        "sink rtsp://host/a: Invalid argument. It is begun again.",
    ]


def test_a_disk_that_is_full_for_a_day_fills_no_log() -> None:
    """A segment of an HLS folder is written at its end: each process takes pictures for two seconds, and fails."""
    full = "No space is left on the device"
    day = [
        one
        for restarts in range(1, 10_000)
        for one in (*[status("retrying", restarts, full)] * 5, *[status("ok", restarts, full)] * 3)
    ]
    assert said_of(*day) == [f"sink rtsp://host/a: {full}. It is begun again."]


def test_a_process_that_cannot_be_ended_is_said_though_none_is_begun_yet() -> None:
    assert said_of(status("ok", 0), *[status("retrying", 0, "It took nothing for 30 s")] * 3) == [
        "sink rtsp://host/a: It took nothing for 30 s. It is begun again."
    ]


@pytest.mark.parametrize("restarts", [0, 1], ids=["at once", "after a restart"])
def test_a_sink_that_can_never_work_is_said_at_once_and_once(restarts: int) -> None:
    said: list[str] = []
    told = SinksTold(said.append)
    for _ in range(3):
        told.tell([status("failed", restarts, "The folder does not exist", name="day.mkv"), status("ok", 0)])
    assert said == ["error: sink day.mkv has failed and gets nothing more: The folder does not exist"]


def test_two_sinks_that_are_shown_alike_are_two() -> None:
    assert said_of(*[status("ok", 1, "Connection refused")] * 15, others=(status("ok", 0),)) == [
        "sink rtsp://host/a: Connection refused. It is begun again.",
        "sink rtsp://host/a goes on",
    ]
