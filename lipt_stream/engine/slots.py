"""The fixed number of slots that frames travel in: host and device buffers, and the events that chain its stages.

A slot is owned by one stage at a time (decode, the main thread, encode) and handed on through queues; nothing here
locks. On a GPU the three copies and computations of a frame are enqueued on three streams, chained by events, and no
host thread waits for the device except the encode thread, for its own frame's download. On a CPU host and device
buffers are the same memory, the copies vanish, and the events only note the time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lipt_stream.engine.color import Colors, DevicePlanes, make_colors
from lipt_stream.engine.device_errors import translated
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Frame, Planes, VideoFormat

STAGES = ("upload", "network", "download")


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
    """One frame's buffers, in and out, on host and device. `frame` is what was read into it."""

    host_in: Planes
    host_out: Planes
    staged_in: DevicePlanes  # host_in as tensors: pinned on a GPU machine
    staged_out: DevicePlanes
    device_in: DevicePlanes  # the same memory as staged_in on a CPU
    device_out: DevicePlanes
    events: Mapping[str, StageEvents]
    frame: Frame | None = None
    read_at: float = field(default=0.0)  # perf_counter seconds when decoding of this frame began: for its latency

    def wait(self) -> None:
        """Block until the upscaled planes are in `host_out`. Raises DeviceError for what failed on the device."""
        with translated("upscaling a frame"):
            self.events["download"].ended.synchronize()


class Engine:
    """Carries frames of one format through an Upscaler: `depth` slots, three streams on a GPU.

    Memory held: depth x (1 + scale^2) x source frame bytes on the host and, on a GPU, again on the device, plus one
    RGB frame of the source (float) and what the network needs for one frame.
    """

    def __init__(self, upscaler: Upscaler, source: VideoFormat, depth: int) -> None:
        self.upscaler = upscaler
        self.source = source
        self.target = source.scaled(upscaler.scale)
        self._colors: Colors = make_colors(self.source, self.target, upscaler.device)
        self._on_gpu = upscaler.device.type == "cuda"
        with translated("reserving frame buffers"):
            # float32 in every precision: half precision could not tell apart the codes of 12 bits
            self._rgb = torch.empty((1, 3, source.height, source.width), device=upscaler.device)
            self._streams = {name: self._new_stream() for name in STAGES}
            self.slots = [self._new_slot() for _ in range(depth)]

    def submit(self, slot: Slot) -> None:
        """Enqueue upload, network and download of `slot`. Returns at once on a GPU, when it is done on a CPU."""
        upload, network, download = (slot.events[name] for name in STAGES)
        with translated("upscaling a frame"), torch.inference_mode():
            with self._stage("upload"):
                upload.began.record()
                self._copy(slot.staged_in, slot.device_in)
                upload.ended.record()
            with self._stage("network", after=upload.ended):
                network.began.record()
                self._colors.to_rgb(slot.device_in, self._rgb)
                self._colors.to_planes(self.upscaler.run(self._rgb), slot.device_out)
                network.ended.record()
            with self._stage("download", after=network.ended):
                download.began.record()
                self._copy(slot.device_out, slot.staged_out)
                download.ended.record()

    def process(self, slot: Slot) -> None:
        """Submit and wait: the serial way, for benchmarks and tests."""
        self.submit(slot)
        slot.wait()

    def _copy(self, source: DevicePlanes, target: DevicePlanes) -> None:
        if self._on_gpu:
            for a, b in zip(source, target, strict=True):
                b.copy_(a, non_blocking=True)

    def _new_stream(self) -> torch.cuda.Stream | None:
        return torch.cuda.Stream(self.upscaler.device) if self._on_gpu else None

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
        staged_in, staged_out = self._staging(self.source), self._staging(self.target)
        return Slot(
            host_in=_as_arrays(staged_in),
            host_out=_as_arrays(staged_out),
            staged_in=staged_in,
            staged_out=staged_out,
            device_in=self._on_device(staged_in),
            device_out=self._on_device(staged_out),
            events={name: StageEvents(self._new_event(), self._new_event()) for name in STAGES},
        )

    def _new_event(self) -> Event:
        return torch.cuda.Event(enable_timing=True) if self._on_gpu else HostEvent()

    def _staging(self, video: VideoFormat) -> DevicePlanes:
        dtype = torch.uint8 if video.dtype is np.uint8 else torch.uint16
        y, u, v = (torch.zeros(shape, dtype=dtype, pin_memory=self._on_gpu) for shape in video.plane_shapes)
        return y, u, v

    def _on_device(self, staged: DevicePlanes) -> DevicePlanes:
        if not self._on_gpu:
            return staged
        y, u, v = (torch.empty_like(plane, device=self.upscaler.device, pin_memory=False) for plane in staged)
        return y, u, v


def _as_arrays(planes: DevicePlanes) -> Planes:
    """NumPy views of host tensors: the same memory, in the words of `media`."""

    def view(tensor: Tensor) -> np.ndarray:
        return tensor.numpy()

    y, u, v = (view(plane) for plane in planes)
    return y, u, v
