"""Which live pictures leave, and which are dropped for what: a real engine, and a network as slow as the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from fractions import Fraction

import pytest

from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.live.journey import DEPTH, WAITING, Journey
from lipt_stream.live.stats import LiveMeters
from lipt_stream.media.encoded import EncodedPacket

STEP = 3_000  # between pictures, in 1/90000 s
VIDEO = VideoFormat(width=32, height=16, frame_rate=Fraction(30), time_base=Fraction(1, 90_000))


class Gate:
    """A network that computes a picture only when the test opens it. Implements Pilot."""

    expected_seconds = 0.0

    def __init__(self, engine: Engine, *, keeps_up: bool) -> None:
        self.keeps_up = keeps_up
        self.at_work = threading.Event()
        self.opened = threading.Event()
        self._engine = engine

    def submit(self, slot: Slot) -> None:
        self.at_work.set()
        assert self.opened.wait(30)
        self._engine.submit(slot)

    def dropped(self) -> None: ...

    def landed(self, slot: Slot) -> tuple[int, int]:
        del slot
        return 1, 0


class Leaving:
    """What left, by time. Stands for a Broadcast."""

    def __init__(self) -> None:
        self.pts: list[int] = []

    def write(self, result: Planes, source: Planes, pts: int) -> None:
        del result, source
        self.pts.append(pts)

    def sound(self, packet: EncodedPacket) -> None: ...

    def finish(self) -> None: ...


class Clock:
    """It stands until the test sets it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fill(planes: Planes) -> None:
    for plane in planes:
        plane.fill(128)


@pytest.fixture
def begun() -> Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]]:
    def begin(
        *,
        keeps_up: bool,
        latency_seconds: float = 30.0,
        notice: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> tuple[Journey, Gate, Leaving, LiveMeters]:
        upscaler = Upscaler.load("nano-x2", device="cpu", runtime="torch", precision="float32")
        engine = Engine(upscaler, VIDEO, DEPTH)
        gate, leaving, meters = Gate(engine, keeps_up=keeps_up), Leaving(), LiveMeters()
        journey = Journey(
            engine.slots,
            gate,
            leaving,  # pyright: ignore[reportArgumentType]
            meters,
            engine.target,
            latency_seconds=latency_seconds,
            standstill=lambda: notice,
            clock=clock,
        )
        journey.start()
        return journey, gate, leaving, meters

    return begin


def offered_behind_a_slow_one(
    journey: Journey, gate: Gate, pictures: int, clock: Callable[[], float] = time.monotonic
) -> None:
    journey.offer(fill, 0, clock())
    assert gate.at_work.wait(30)
    for number in range(1, pictures):
        journey.offer(fill, number * STEP, clock())


@pytest.mark.parametrize(("keeps_up", "left"), [(True, [0, 2, 3, 4]), (False, [0, 4])])
def test_one_slow_picture_costs_others_only_where_the_network_does_not_keep_up(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]], keeps_up: bool, left: list[int]
) -> None:
    journey, gate, leaving, meters = begun(keeps_up=keeps_up)
    offered_behind_a_slow_one(journey, gate, 2 + WAITING)
    gate.opened.set()
    assert journey.stop(30)
    assert leaving.pts == [number * STEP for number in left]
    assert meters.drops == {"overtaken": 2 + WAITING - len(left)}
    assert journey.error is None


def test_what_waited_too_long_is_dropped_as_late(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    clock = Clock()
    journey, gate, leaving, meters = begun(keeps_up=True, latency_seconds=0.2, clock=clock)
    offered_behind_a_slow_one(journey, gate, 1 + WAITING, clock)
    clock.now += 0.3
    gate.opened.set()
    assert journey.stop(30)
    assert leaving.pts == [0]
    assert meters.drops == {"late": WAITING}


def test_pictures_from_before_a_repetition_have_their_places_behind_it(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    journey, gate, leaving, meters = begun(keeps_up=True, notice="")
    gate.opened.set()
    journey.offer(fill, 0, time.monotonic())
    deadline = time.monotonic() + 30
    while not meters.frames_repeated:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for pts in (1, 2, 3):  # taken before it, and late
        journey.offer(fill, pts, time.monotonic())
    assert journey.stop(30)
    assert len(leaving.pts) >= 5
    milliseconds = [round(pts / 90) for pts in leaving.pts]
    assert milliseconds == sorted(set(milliseconds)), "as Matroska and FLV count"


def test_what_is_late_already_is_not_filled_in(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    """A camera whose pictures take longer to convert than they come apart: the newest still leave."""
    clock = Clock()
    journey, gate, leaving, meters = begun(keeps_up=True, latency_seconds=0.2, clock=clock)
    gate.opened.set()
    filled: list[int] = []
    for number, age in enumerate((1.0, 0.5, 0.0)):

        def fill_slowly(planes: Planes, number: int = number) -> None:
            filled.append(number)
            fill(planes)

        journey.offer(fill_slowly, number * STEP, clock.now - age)
    assert journey.stop(30)
    assert filled == [2]
    assert leaving.pts == [2 * STEP]
    assert meters.drops == {"late": 2}


def test_what_waits_for_room_in_flight_can_still_be_overtaken(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    journey, gate, leaving, meters = begun(keeps_up=False)
    gate.opened.set()
    held, may_write = threading.Event(), threading.Event()

    def write(result: Planes, source: Planes, pts: int) -> None:
        del result, source
        leaving.pts.append(pts)
        held.set()
        assert may_write.wait(30)

    leaving.write = write  # type: ignore[method-assign]
    journey.offer(fill, 0, time.monotonic())
    assert held.wait(30)  # one with its sinks, and one computed behind it: there is no more room
    journey.offer(fill, STEP, time.monotonic())
    while not journey._upscaled.qsize():
        time.sleep(0.01)
    for number in (2, 3):
        journey.offer(fill, number * STEP, time.monotonic())
    may_write.set()
    assert journey.stop(30)
    assert leaving.pts == [0, STEP, 3 * STEP]
    assert meters.drops == {"overtaken": 1}


def test_what_encoding_takes_is_part_of_the_latency(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    """A picture that is two thirds through its time is late where encoding takes as long again."""
    journey, gate, leaving, meters = begun(keeps_up=True, latency_seconds=6.0)
    gate.opened.set()
    journey._encode_seconds = 4.0
    journey.offer(fill, 0, time.monotonic() - 5.0)
    assert journey.stop(30)
    assert (leaving.pts, meters.drops) == ([], {"late": 1})


def test_how_long_encoding_takes_is_measured(
    begun: Callable[..., tuple[Journey, Gate, Leaving, LiveMeters]],
) -> None:
    journey, gate, leaving, _ = begun(keeps_up=True)
    gate.opened.set()
    leaving.write = lambda *_: time.sleep(0.2)  # type: ignore[method-assign]
    journey.offer(fill, 0, time.monotonic())
    assert journey.stop(30)
    assert 0.03 < journey._encode_seconds < 5
