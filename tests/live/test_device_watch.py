"""A device that hangs is noticed, and one that is slow, or a process that was stopped, is not taken for it."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import pytest

from lipt_stream.engine.slots import Slot
from lipt_stream.errors import DeviceError
from lipt_stream.live import device_watch, works
from lipt_stream.live.device_watch import HUNG_SECONDS, DeviceWatch
from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import parse_targets
from lipt_stream.media.live_address import live_address


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> DeviceWatch:
    return DeviceWatch(clock)


def test_one_picture_awaited_for_long_is_an_error_with_the_devices_name(watch: DeviceWatch, clock: Clock) -> None:
    watch.look(7, "cuda:1")
    for _ in range(round(HUNG_SECONDS / 0.5) - 1):
        clock.now += 0.5
        assert watch.look(7, "cuda:1") is None
    clock.now += 0.5
    error = watch.look(7, "cuda:1")
    assert error is not None
    assert "cuda:1 has not finished a picture for 60 s" in str(error)


def test_pictures_that_take_long_but_come_are_none(watch: DeviceWatch, clock: Clock) -> None:
    for number in range(10 * round(HUNG_SECONDS)):
        clock.now += 0.9
        assert watch.look(number // 60, "cuda:0") is None


def test_no_picture_is_awaited_while_a_camera_is_gone(watch: DeviceWatch, clock: Clock) -> None:
    for _ in range(10 * round(HUNG_SECONDS)):
        clock.now += 0.9
        assert watch.look(None, "cuda:0") is None


def test_a_process_that_was_stopped_has_not_been_waiting(watch: DeviceWatch, clock: Clock) -> None:
    watch.look(7, "cuda:0")
    clock.now += 10 * HUNG_SECONDS
    assert watch.look(7, "cuda:0") is None


def test_a_session_whose_device_hangs_ends_with_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wakes, waits = threading.Event(), 0
    wait = Slot.wait

    def hangs_at_the_fifth(slot: Slot) -> None:
        nonlocal waits
        waits += 1
        if waits == 5:
            wakes.wait()
        wait(slot)

    monkeypatch.setattr(Slot, "wait", hangs_at_the_fifth)
    monkeypatch.setattr(device_watch, "HUNG_SECONDS", 1.0)
    monkeypatch.setattr(works, "JOURNEY_SECONDS", 0.1)
    result = tmp_path / "larger.mkv"
    spec = LiveSpec(model="lanczos", device="cpu")
    session = LiveSession(live_address("test:64x64@20"), parse_targets([str(result)]), spec)
    with pytest.raises(DeviceError, match="cpu has not finished a picture for 1 s"):
        session.run(on_stats=lambda _: None, on_event=lambda _: None, stop=lambda: False)
    assert session.is_hanging, "the program must not wait for it"
    wakes.set()
    with av.open(str(result)) as film:
        assert len(list(film.decode(video=0))) == 4
