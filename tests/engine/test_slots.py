"""The engine's slots: what may go on at the same time, what waits for what, and what is in flight after an error.

The order of a GPU's three streams is checked without one: fake streams and events keep vector clocks, every access to
a buffer is noted on the stream that is current, and one that nothing orders behind the last is a race.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from lipt_stream.engine import slots as module
from lipt_stream.engine.color import DevicePlanes
from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import DeviceError
from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.synthetic import SyntheticSource

VIDEO = VideoFormat(width=96, height=64, frame_rate=Fraction(25), time_base=Fraction(1, 25))


def upscaler(runtime: str, threads: int | None = None) -> Upscaler:
    if runtime == "openvino":
        pytest.importorskip("openvino")
    return Upscaler.load("nano-x2", device="cpu", runtime=runtime, precision="float32", threads=threads)  # type: ignore[arg-type]


def pictures(engine: Engine, frames: int, *, serially: bool) -> list[list[np.ndarray]]:
    """A synthetic film through the engine, as many frames in flight as there are slots."""
    source, results = SyntheticSource(engine.source, frames), []
    for start in range(0, frames, len(engine.slots)):
        taken = engine.slots[: min(len(engine.slots), frames - start)]
        for slot in taken:
            assert source.read(slot.host_in) is not END
            engine.process(slot) if serially else engine.submit(slot)
        for slot in taken:
            slot.wait()
            results.append([plane.copy() for plane in slot.host_out])
    return results


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_frames_in_flight_are_what_frames_one_by_one_are(runtime: str, pix_fmt: str) -> None:
    video = VideoFormat(width=97, height=63, pix_fmt=pix_fmt)  # type: ignore[arg-type]
    network = upscaler(runtime, threads=2)
    engine = Engine(network, video, 4, at_once=network.at_once)
    one_by_one, in_flight = (pictures(engine, 10, serially=serially) for serially in (True, False))
    for expected, result in zip(one_by_one, in_flight, strict=True):
        for a, b in zip(expected, result, strict=True):
            assert np.abs(a.astype(int) - b.astype(int)).max() <= 1  # sums of another order, on the edge of rounding


def test_two_frames_are_computed_at_the_same_time() -> None:
    network = upscaler("openvino", threads=2)
    assert network.at_once == 2
    engine = Engine(network, VIDEO, 4, at_once=2)
    real, both = network.run, threading.Barrier(2)

    def run(images: Tensor, at_once: int = 1) -> Tensor:
        both.wait(60)  # broken, and an error, where the second frame waited for the first one's end
        return real(images, at_once)

    network.run = run  # type: ignore[method-assign]
    for slot in engine.slots[:2]:
        engine.submit(slot)
    for slot in engine.slots[:2]:
        slot.wait()


def test_an_error_is_raised_to_whoever_waits_for_the_frame_and_drained_away() -> None:
    network = upscaler("openvino", threads=2)
    engine = Engine(network, VIDEO, 3, at_once=2)
    real, numbers = network.run, itertools.count()

    def run(images: Tensor, at_once: int = 1) -> Tensor:
        if next(numbers) == 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(images, at_once)

    network.run = run  # type: ignore[method-assign]
    for slot in engine.slots:
        engine.submit(slot)
    failures = 0
    for slot in engine.slots:
        try:
            slot.wait()
        except DeviceError:
            failures += 1
    assert failures == 1
    engine.drain()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lipt-network")]
    engine.process(engine.slots[0])  # and it can be used again


def test_frames_whose_turn_has_not_come_are_not_computed_any_more() -> None:
    """After an error or a second Ctrl-C nobody waits for them, and each may take seconds."""
    network = upscaler("openvino", threads=2)
    engine = Engine(network, VIDEO, 8, at_once=2)
    real, begun, go_on = network.run, threading.Semaphore(0), threading.Event()

    def run(images: Tensor, at_once: int = 1) -> Tensor:
        begun.release()
        go_on.wait(60)
        return real(images, at_once)

    network.run = run  # type: ignore[method-assign]
    for slot in engine.slots:
        engine.submit(slot)
    for _ in range(2):
        assert begun.acquire(timeout=60)
    threading.Timer(0.2, go_on.set).start()
    engine.drain()
    ends = [slot.running is not None and slot.running.cancelled() for slot in engine.slots]
    assert ends == [False] * 2 + [True] * 6
    assert all(slot.running is not None and slot.running.done() for slot in engine.slots)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lipt-network")]


def test_frames_that_reuse_the_last_ones_result_are_not_computed_at_the_same_time() -> None:
    with pytest.raises(ValueError, match="one by one"):
        Engine(upscaler("torch"), VIDEO, 3, reuse_threshold=0, at_once=2)


class Clock(dict[str, int]):
    """How much of every line of time (the host's, each stream's) has certainly happened."""

    def learn(self, other: Clock) -> None:
        for line, count in other.items():
            self[line] = max(self.get(line, 0), count)


class FakeGpu:
    """Lines of time, and every buffer's last accesses. What is current is the stream of `torch.cuda.stream`."""

    def __init__(self) -> None:
        self.host = Clock()
        self.current: FakeStream | None = None
        self.accesses: dict[int, list[tuple[str, int, bool]]] = {}
        self.synchronised = 0

    def touch(self, planes: DevicePlanes | tuple[Tensor], *, writes: bool) -> None:
        """An access now: on the current stream, or by the host. Fails where the last ones may still be going on."""
        line = self.current.name if self.current else "host"
        clock = self.current.clock if self.current else self.host
        clock.learn(self.host)  # the host enqueues it now
        clock[line] = clock.get(line, 0) + 1
        for plane in planes:
            known = self.accesses.setdefault(plane.data_ptr(), [])
            for other, count, was_write in known:
                assert not (writes or was_write) or clock.get(other, 0) >= count, f"{line} races with {other}"
            if writes:
                known.clear()
            known.append((line, clock[line], writes))


class FakeStream:
    def __init__(self, gpu: FakeGpu, name: str) -> None:
        self.gpu, self.name, self.clock = gpu, name, Clock()

    def wait_event(self, event: FakeEvent) -> None:
        self.clock.learn(event.clock)

    def synchronize(self) -> None:
        self.gpu.synchronised += 1
        self.gpu.host.learn(self.clock)


class FakeEvent:
    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.clock = gpu, Clock()

    def record(self) -> None:
        assert self.gpu.current is not None
        self.clock = Clock(self.gpu.current.clock)

    def synchronize(self) -> None:
        self.gpu.host.learn(self.clock)


class NotingFrames:
    """The conversion to RGB, the network, and the conversion back."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.gpu, self.rgb, self.large = gpu, torch.zeros(1), torch.zeros(1)

    def run(self, _: object, pictures: list[DevicePlanes], results: list[DevicePlanes], at_once: int) -> None:
        assert at_once == 1
        self.gpu.touch(pictures[0], writes=False)
        for buffer in (self.rgb, self.large):
            self.gpu.touch((buffer,), writes=True)
            self.gpu.touch((buffer,), writes=False)
        self.gpu.touch(results[0], writes=True)


class OnFakeGpu(Engine):
    """The engine as it is on a GPU, its buffers in plain memory."""

    def __init__(self, gpu: FakeGpu, network: Upscaler, video: VideoFormat, depth: int) -> None:
        self._gpu = gpu
        super().__init__(network, video, depth)
        self._on_gpu = True
        self._streams = {name: FakeStream(gpu, name) for name in module.STAGES}  # type: ignore[dict-item]
        self._idle.get()
        self._idle.put(NotingFrames(gpu))  # type: ignore[arg-type]
        for slot in self.slots:
            slot.events = {name: module.StageEvents(FakeEvent(gpu), FakeEvent(gpu)) for name in module.STAGES}
            slot.device_in = tuple(plane.clone() for plane in slot.staged_in)  # type: ignore[assignment]
            slot.device_out = tuple(plane.clone() for plane in slot.staged_out)  # type: ignore[assignment]

    def _copy(self, planes: DevicePlanes, result: DevicePlanes, rows: slice) -> None:
        self._gpu.touch(planes, writes=False)
        self._gpu.touch(result, writes=True)
        super()._copy(planes, result, rows)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu()

    @contextmanager
    def stream(chosen: FakeStream) -> Iterator[None]:
        before, fake.current = fake.current, chosen
        try:
            yield
        finally:
            fake.current = before

    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "Event", FakeEvent)
    return fake


def on_gpu(gpu: FakeGpu, depth: int) -> OnFakeGpu:
    return OnFakeGpu(gpu, upscaler("torch"), VIDEO, depth)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_on_a_gpu_no_stage_touches_what_another_still_uses(gpu: FakeGpu, depth: int) -> None:
    engine = on_gpu(gpu, depth)
    in_flight: list[Slot] = []
    for slot in itertools.islice(itertools.cycle(engine.slots), 5 * depth):
        if len(in_flight) == depth:
            done = in_flight.pop(0)
            done.wait()
            gpu.touch(done.staged_out, writes=False)  # the encoder
        gpu.touch(slot.staged_in, writes=True)  # the decoder
        engine.submit(slot)
        in_flight.append(slot)
    assert gpu.synchronised == 0, "no stream is waited for while frames go through"


def test_the_check_finds_a_race(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStream, "wait_event", lambda stream, event: None)  # noqa: ARG005
    engine = on_gpu(gpu, 2)
    gpu.touch(engine.slots[0].staged_in, writes=True)
    with pytest.raises(AssertionError, match="network races with upload"):
        engine.submit(engine.slots[0])


def test_after_an_error_on_a_gpu_slots_are_free_once_drained(gpu: FakeGpu) -> None:
    engine = on_gpu(gpu, 2)
    engine.submit(engine.slots[0])
    with pytest.raises(AssertionError, match="host races with upload"):
        gpu.touch(engine.slots[0].staged_in, writes=True)  # the next run's decoder
    engine.drain()
    gpu.touch(engine.slots[0].staged_in, writes=True)
    gpu.touch(engine.slots[0].staged_out, writes=False)


def test_a_gpu_that_has_failed_hides_no_first_error_when_it_is_drained(
    gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After such an error CUDA answers every call with it, until the process ends."""
    engine = on_gpu(gpu, 2)
    tried: list[str] = []

    def fail(stream: FakeStream) -> None:
        tried.append(stream.name)
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(FakeStream, "synchronize", fail)
    engine.submit(engine.slots[0])
    engine.drain()
    assert tried == list(module.STAGES)
