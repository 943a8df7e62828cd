"""The fixed number of slots that frames travel in: host and device buffers, and the events that chain its stages.

A slot is owned by one stage at a time (decode, the main thread, encode) and handed on through queues; nothing here
locks. On a GPU the three copies and computations of a frame are enqueued on three streams, chained by events, and no
host thread waits for the device except the encode thread, for its own frame's download. On a CPU host and device
buffers are the same memory, the copies vanish, and the events only note the time; where a runtime gains by computing
two frames at the same time, worker threads do there what a GPU's streams do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lipt_stream.engine.color_math import DevicePlanes
from lipt_stream.engine.device_errors import translated
from lipt_stream.engine.planes import ImageUpscaler, PlanesUpscaler, copy_planes, new_planes
from lipt_stream.engine.reuse import ChangedTiles, Work, whole_frame
from lipt_stream.engine.tiling import window
from lipt_stream.frame import Frame, Planes, VideoFormat

STAGES = ("upload", "network", "download")
WARM_UP_CALLS = 5
WARM_UP_SECONDS = 0.5  # after which a slow upscaler is not called again


class Event(Protocol):
    """What is used of `torch.cuda.Event`; `HostEvent` is the same without a GPU."""

    def record(self) -> None:
        """Mark this point of the current stream."""
        ...

    def synchronize(self) -> None:
        """Block the host until the mark is passed."""
        ...


class HostEvent:
    """An event on the host's own time line: passed as soon as it is recorded."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def record(self) -> None:
        self.seconds = time.perf_counter()

    def synchronize(self) -> None:
        return


@dataclass(slots=True)
class StageEvents:
    """Where a stage of one frame began and ended on its stream."""

    began: Event
    ended: Event

    @property
    def seconds(self) -> float:
        """How long the stage took. Valid once `ended` has been synchronised with."""
        if isinstance(self.began, HostEvent) and isinstance(self.ended, HostEvent):
            return self.ended.seconds - self.began.seconds
        assert isinstance(self.began, torch.cuda.Event) and isinstance(self.ended, torch.cuda.Event)  # noqa: PT018
        return self.began.elapsed_time(self.ended) / 1000.0


@dataclass(slots=True)
class Slot:
    """One frame's buffers, in and out, on host and device. `frame` is what was read into it, `work` says what of it had
    to be computed."""

    host_in: Planes
    host_out: Planes
    staged_in: DevicePlanes  # host_in as tensors: pinned on a GPU machine
    staged_out: DevicePlanes
    device_in: DevicePlanes  # the same memory as staged_in on a CPU
    device_out: DevicePlanes
    events: Mapping[str, StageEvents]
    work: Work
    frame: Frame | None = None
    read_at_seconds: float = field(default=0.0)  # on the caller's clock, when reading this frame began: for its latency
    running: Future[None] | None = None  # where a worker thread computes it

    def wait(self) -> None:
        """Block until the upscaled planes are in `host_out`. Raises what failed, on the device a DeviceError."""
        if self.running is not None:
            self.running.result()
        with translated("upscaling a frame"):
            self.events["download"].ended.synchronize()


class Engine:
    """Carries frames of one format through an upscaler: `depth` slots, three streams on a GPU.

    Memory held: depth x (1 + scale^2) x source frame bytes on the host and, on a GPU, again on the device, plus one
    RGB frame of the source (float), colour's scratch (`TorchColors`) and what the network needs for one frame, these
    three `at_once` times; with reuse one more upscaled frame.
    """

    def __init__(
        self,
        upscaler: ImageUpscaler,
        source: VideoFormat,
        depth: int,
        *,
        reuse_threshold: int | None = None,
        at_once: int = 1,
    ) -> None:
        """`reuse_threshold`: None computes every frame whole; a number computes only tiles in which a sample has moved
        by more than that, in codes of 8 bits (engine/reuse.py); above 0, `submit` may change `host_in` by as much.
        `at_once`: frames computed at the same time, each with its part of the cores: up to the upscaler's own number
        more frames a second, each of which takes longer. Not with reuse, where a frame follows from the last.
        """
        if at_once > 1 and reuse_threshold is not None:
            raise ValueError("frames that reuse the last one's result are computed one by one")
        self.upscaler = upscaler
        self.source = source
        self.target = source.scaled(upscaler.scale)
        self._device = upscaler.device
        self._on_gpu = self._device.type == "cuda"
        with translated("reserving frame buffers"):
            self._frames = PlanesUpscaler(source, upscaler.scale, self._device)
            self._at_once = at_once
            self._idle: SimpleQueue[PlanesUpscaler] = SimpleQueue()
            self._idle.put(self._frames)
            for _ in range(at_once - 1):
                self._idle.put(PlanesUpscaler(source, upscaler.scale, self._device))
            self._workers: ThreadPoolExecutor | None = None
            self._reuse = None if reuse_threshold is None else ChangedTiles(self._frames, reuse_threshold)
            self._streams = {name: self._new_stream() for name in STAGES}
            self.slots = [self._new_slot() for _ in range(depth)]
            if self._on_gpu:
                torch.cuda.synchronize(self._device)  # the streams must not outrun what was enqueued beside them

    def use(self, upscaler: ImageUpscaler) -> None:
        """From the next frame on upscale with `upscaler`, of the same scale and device: ValueError for another.

        On a GPU this waits for the frames in flight, after which the former upscaler may be let go.
        """
        self._accept(upscaler)
        stream = self._streams["network"]
        if stream is not None:
            stream.synchronize()
        self.upscaler = upscaler
        if self._reuse is not None:
            self._reuse.forget()

    def warm_up(self, upscaler: ImageUpscaler) -> float:
        """Let `upscaler` compile for the sizes that come here; the seconds that it then takes for a whole frame.

        The least of some calls, so that a busy moment does not count. To be called between frames, from the thread that
        submits them.
        """
        self._accept(upscaler)
        whole = StageEvents(self._new_event(), self._new_event())
        taken: list[float] = []
        with translated("warming up"), torch.inference_mode(), self._stage("network"):
            if self._reuse is not None:
                self._reuse.warm_up(upscaler)
            self._frames.warm_up(upscaler)
            while len(taken) < WARM_UP_CALLS and sum(taken) < WARM_UP_SECONDS:
                whole.began.record()
                self._frames.warm_up(upscaler)
                whole.ended.record()
                whole.ended.synchronize()
                taken.append(whole.seconds)
        return min(taken)

    def submit(self, slot: Slot) -> None:
        """Begin upload, network and download of `slot`, whose `wait` tells the end.

        Returns at once on a GPU, and where several frames are computed at the same time; else when it is done.
        """
        if self._at_once == 1:
            self._carry(slot, self.upscaler, at_once=1)
        else:
            self._workers = self._workers or ThreadPoolExecutor(self._at_once, "lipt-network")
            slot.running = self._workers.submit(self._carry, slot, self.upscaler, at_once=self._at_once)

    def process(self, slot: Slot) -> None:
        """Carry one frame with all there is, and wait: the serial way, for benchmarks and tests."""
        slot.running = None
        self._carry(slot, self.upscaler, at_once=1)
        slot.wait()

    def drain(self) -> None:
        """Wait until nothing is computed, no thread works, and every slot may be used again. Frames whose turn has not
        come are given up, and what failed in between is not raised: whoever wants a frame waits for it before."""
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)
            self._workers = None
        for stream in self._streams.values():
            if stream is not None:
                # A GPU that has failed says so again and again; whoever waited for the frame has the first error.
                with suppress(RuntimeError):
                    stream.synchronize()

    def _carry(self, slot: Slot, upscaler: ImageUpscaler, *, at_once: int) -> None:
        upload, network, download = (slot.events[name] for name in STAGES)
        frames = self._idle.get()
        try:
            with translated("upscaling a frame"), torch.inference_mode():
                with self._stage("upload"):
                    upload.began.record()
                    slot.work = self._plan(upscaler, slot)
                    for rows in slot.work.rows:
                        self._copy(slot.staged_in, slot.device_in, rows)
                    upload.ended.record()
                with self._stage("network", after=upload.ended):
                    network.began.record()
                    if self._reuse:
                        self._reuse.run(upscaler, slot.work, slot.device_in, slot.device_out)
                    else:
                        frames.run(upscaler, [slot.device_in], [slot.device_out], at_once)
                    network.ended.record()
                with self._stage("download", after=network.ended):
                    download.began.record()
                    self._copy(slot.device_out, slot.staged_out, slice(0, self.target.height))
                    download.ended.record()
        finally:
            self._idle.put(frames)

    def _plan(self, upscaler: ImageUpscaler, slot: Slot) -> Work:
        if self._reuse is None:
            return whole_frame(self.source.height)
        return self._reuse.plan(upscaler, slot.host_in)

    def _copy(self, planes: DevicePlanes, result: DevicePlanes, rows: slice) -> None:
        if self._on_gpu:
            columns = slice(0, planes[0].shape[1])
            copy_planes(window(planes, rows, columns), window(result, rows, columns))

    def _accept(self, upscaler: ImageUpscaler) -> None:
        """ValueError for an upscaler of another kind; else the network's stream waits until its weights are there."""
        if (upscaler.scale, upscaler.device) != (self.upscaler.scale, self._device):
            raise ValueError(
                f"an upscaler of x{upscaler.scale} on {upscaler.device} in an engine of x{self.upscaler.scale} "
                f"on {self._device}"
            )
        stream = self._streams["network"]
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream(self._device))

    def _new_stream(self) -> torch.cuda.Stream | None:
        return torch.cuda.Stream(self._device) if self._on_gpu else None

    def _stage(self, name: str, after: Event | None = None) -> AbstractContextManager[object]:
        """Make the stage's stream current, behind `after`. On a CPU stages simply follow each other."""
        stream = self._streams[name]
        if stream is None:
            return nullcontext()
        if after is not None:
            assert isinstance(after, torch.cuda.Event)
            stream.wait_event(after)
        return torch.cuda.stream(stream)

    def _new_slot(self) -> Slot:
        staged_in, staged_out = self._staged(self.source), self._staged(self.target)
        return Slot(
            host_in=_as_arrays(staged_in),
            host_out=_as_arrays(staged_out),
            staged_in=staged_in,
            staged_out=staged_out,
            device_in=new_planes(self.source, self._device) if self._on_gpu else staged_in,
            device_out=new_planes(self.target, self._device) if self._on_gpu else staged_out,
            events={name: StageEvents(self._new_event(), self._new_event()) for name in STAGES},
            work=whole_frame(self.source.height),
        )

    def _new_event(self) -> Event:
        # blocking: whoever waits sleeps, and leaves its core to the encoder
        return torch.cuda.Event(enable_timing=True, blocking=True) if self._on_gpu else HostEvent()

    def _staged(self, video: VideoFormat) -> DevicePlanes:
        return new_planes(video, torch.device("cpu"), pinned=self._on_gpu)


def _as_arrays(planes: DevicePlanes) -> Planes:
    """NumPy views of host tensors: the same memory, in the words of `media`."""

    def view(tensor: Tensor) -> np.ndarray:
        return tensor.numpy()

    y, u, v = (view(plane) for plane in planes)
    return y, u, v
