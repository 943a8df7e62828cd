"""run(): the journey of every frame, from a source through an engine's slots to a sink.

    decode thread              main thread                     encode thread
    slot = free.get()          slot = decoded.get()            slot = upscaled.get()
    source.read(slot.host_in)  engine.submit(slot)             slot.wait(); sink.write(frame)
    decoded.put(slot)          upscaled.put(slot)              free.put(slot)

The slots are the only bound: three queues that can never hold more than `depth` slots between them. END travels behind
the last frame. When a stage raises, every queue is closed, so that no stage waits for one that died; the threads are
waited for and the first error is raised to the caller with its own traceback. KeyboardInterrupt, which a second signal
raises in the main thread at any place, is such an error: no thread is left at work with source or sink.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lipt_stream.engine.slots import STAGES, Engine, Slot
from lipt_stream.frame import END, End, Frame
from lipt_stream.media.sink import Sink
from lipt_stream.media.source import Source
from lipt_stream.observe.timings import StageTimings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """What went through. A run that ended by itself has frames_in == frames_out."""

    frames_in: int
    frames_out: int
    cancelled: bool


class Stop:
    """A wish to stop, set from a signal handler or another thread: the source is read no further, what is in flight
    is finished. It is a plain flag, because a signal handler must not take a lock that its own thread may hold."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True


class _Closed(Exception):
    """A queue was closed while a stage waited at it: another stage has failed."""


class _Handover(Generic[T]):
    """An unbounded queue between two threads that can be closed from any."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    def get(self) -> T:
        """The next item; waits for it. Raises _Closed once the queue is closed, whatever is left in it."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if self._closed:
                raise _Closed
            return self._items.popleft()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class _Journey:
    """The state of one run: its queues, its counts and its first error."""

    def __init__(self, source: Source, engine: Engine, sink: Sink, timings: StageTimings, stop: Stop) -> None:
        self.source = source
        self.engine = engine
        self.sink = sink
        self.timings = timings
        self.stop = stop
        self.free: _Handover[Slot] = _Handover()
        self.decoded: _Handover[Slot | End] = _Handover()
        self.upscaled: _Handover[Slot | End] = _Handover()
        self.frames_in = 0
        self.frames_out = 0
        self.cut_short = False
        self.error: BaseException | None = None
        self._error_lock = threading.Lock()
        for slot in engine.slots:
            self.free.put(slot)

    def decode(self) -> None:
        while not self.cut_short:
            slot = self.free.get()
            slot.read_at_seconds = time.perf_counter()
            with self.timings.measure("decode"):
                frame = self.source.read(slot.host_in)
            if frame is END:
                break
            slot.frame = frame
            self.frames_in += 1
            self.decoded.put(slot)
            self.cut_short = self.stop.requested
        self.decoded.put(END)

    def upscale(self) -> None:
        while (slot := self.decoded.get()) is not END:
            self.engine.submit(slot)
            self.upscaled.put(slot)
        self.upscaled.put(END)

    def encode(self, progress: Callable[[Frame], None]) -> None:
        while (slot := self.upscaled.get()) is not END:
            slot.wait()
            assert slot.frame is not None
            frame = dataclasses.replace(slot.frame, planes=slot.host_out)
            with self.timings.measure("encode"):
                self.sink.write(frame)
            self.frames_out += 1
            self._note_times(slot)
            self.free.put(slot)
            progress(frame)

    def _note_times(self, slot: Slot) -> None:
        for stage in STAGES:
            self.timings.add(stage, slot.events[stage].seconds)
        self.timings.add("frame", time.perf_counter() - slot.read_at_seconds)

    def guarded(self, stage: Callable[[], None]) -> None:
        """Run a stage; on an error remember the first and let every other stage go."""
        try:
            stage()
        except _Closed:
            return
        except BaseException as error:  # noqa: BLE001  it is raised again by run(), in the caller's thread
            with self._error_lock:
                self.error = self.error or error
            for queue in (self.free, self.decoded, self.upscaled):
                queue.close()


class _StageThread:
    """A stage in a thread of its own."""

    def __init__(self, journey: _Journey, name: str, stage: Callable[[], None]) -> None:
        self._journey = journey
        self._stage = stage
        self._entry = threading.Lock()  # taken once: by the thread when it begins, or by whoever calls it off
        self._is_started = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        self._thread.start()
        self._is_started = True

    def _run(self) -> None:
        if self._entry.acquire(blocking=False):
            self._journey.guarded(self._stage)
        self._ended.set()

    def wait(self) -> None:
        """Waits for the end, whatever signals come meanwhile. A thread whose start failed is called off: whether it
        runs cannot be told, and if it does, it ends without having touched anything.

        Not by `join` alone: where an exception interrupts it, it takes the thread for dead (python/cpython#90882).
        """
        if not self._is_started and self._entry.acquire(blocking=False):
            return
        while not self._ended.is_set():
            self._journey.guarded(self._wait_for_end)
        self._thread.join()

    def _wait_for_end(self) -> None:
        self._ended.wait()


def _no_progress(frame: Frame) -> None:
    del frame


def run(
    source: Source,
    engine: Engine,
    sink: Sink,
    *,
    timings: StageTimings | None = None,
    progress: Callable[[Frame], None] = _no_progress,
    stop: Stop | None = None,
) -> Counts:
    """Carry every frame of `source` through `engine` into `sink`, in order, each once.

    Neither `source` nor `sink` is closed: whoever opened them decides between close and abort. `progress` is called
    in the encode thread after each frame was written. `timings` collects the stages "decode", "upload", "network",
    "download", "encode", and "frame": the whole way of one frame, waiting included. `stop` ends the run early and
    tidily. Raises what any stage raised, with its own traceback, after all threads have ended.
    """
    stop = stop or Stop()
    journey = _Journey(source, engine, sink, timings or StageTimings(), stop)
    threads = [
        _StageThread(journey, "lipt-decode", journey.decode),
        _StageThread(journey, "lipt-encode", lambda: journey.encode(progress)),
    ]

    def work() -> None:
        for thread in threads:
            thread.start()
        journey.upscale()

    journey.guarded(work)
    for thread in threads:
        thread.wait()
    engine.drain()  # after an error frames may be in flight, whose slots would be written into later
    if journey.error is not None:
        raise journey.error
    return Counts(journey.frames_in, journey.frames_out, cancelled=journey.cut_short)
