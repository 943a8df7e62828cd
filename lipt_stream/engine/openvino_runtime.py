"""LIPT run by OpenVINO on a CPU: where there is no GPU, the fastest way nearly always (benchmarks/cpu_runtimes.py)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from queue import SimpleQueue
from typing import Any, Final, Literal

import torch
from torch import Tensor

from lipt_stream.engine.device_errors import is_out_of_memory
from lipt_stream.engine.free_memory import fitting_pixels
from lipt_stream.engine.one_thread import threads_here
from lipt_stream.engine.openvino_graph import build_graph
from lipt_stream.engine.openvino_import import ov
from lipt_stream.errors import DeviceError
from lipt_stream.model.lipt import LIPT, pad_by_reflection

MAX_COMPILED: Final = 4
"""Sizes kept compiled: a video has one, in tiles too; several videos, one after the other, have several. Each holds
its own activations, so more would only cost memory, and where memory is short none is kept beside a new one."""

AT_ONCE: Final = 2
"""Frames of a stream that are computed at the same time, each on half of the cores. Threads that share one frame wait
for each other at the end of every operation, and for whichever of them shares its core with an encoder; two frames
wait for nothing (benchmarks/overlap.py). More of them would cost more memory and time from decoder to encoder.
"""


class OpenVinoRuntime:
    """A deployed network compiled by OpenVINO for each size it meets (tenths of a second, on a slow machine up to 2 s,
    then kept).

    Called with (N, 3, H, W) float on the CPU, 0..1, any size; gives (N, 3, scale H, scale W) float32, not clamped.
    Input and output are read and written in torch's memory; the images of a batch go one by one. May be called from
    any thread; calls for which there is no room yet wait. Python's lock is free meanwhile. DeviceError where OpenVINO
    fails; MemoryError or RuntimeError where memory runs out, as torch has it.
    """

    def __init__(self, network: LIPT, precision: Literal["float32", "bfloat16"], threads: int | None) -> None:
        self.name: Final = "openvino"
        self.precision: Final = precision
        self.at_once: Final = min(AT_ONCE, threads or threads_here())
        self._network = network
        self._core: Any = ov.Core()
        self._options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
            # Pinned threads would hold the very cores that decoder and encoder are scheduled on.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._options["INFERENCE_NUM_THREADS"] = threads
        self._idle: OrderedDict[tuple[int, int, int], SimpleQueue[Any]] = OrderedDict()  # requests by size and streams
        self._lock = threading.Lock()

    def __call__(self, images: Tensor, at_once: int = 1) -> Tensor:
        height, width = images.shape[-2:]
        scale = self._network.config.scale
        x = pad_by_reflection(images.detach().float(), self._network.config.window).contiguous()
        y = torch.empty((x.shape[0], 3, scale * x.shape[2], scale * x.shape[3]))
        for index in range(x.shape[0]):
            self._infer(x[index : index + 1], y[index : index + 1], at_once)
        return y[..., : scale * height, : scale * width]

    def _infer(self, image: Tensor, result: Tensor, at_once: int) -> None:
        height, width = image.shape[-2:]
        try:
            idle = self._compiled(height, width, at_once)
            request = idle.get()
            try:
                request.set_input_tensor(ov.Tensor(image.numpy(), shared_memory=True))
                request.set_output_tensor(ov.Tensor(result.numpy(), shared_memory=True))
                request.infer()
            finally:
                idle.put(request)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise DeviceError(
                f"OpenVINO failed on {width}x{height} pixels ({_last_line(error)})", "Use --runtime torch"
            ) from error

    def _compiled(self, height: int, width: int, at_once: int) -> SimpleQueue[Any]:
        """The idle ones of `at_once` requests for this size, compiled now if need be; the longest unused size goes."""
        key = height, width, at_once
        with self._lock:
            if key in self._idle:
                self._idle.move_to_end(key)
                return self._idle[key]
            while self._idle and (len(self._idle) >= MAX_COMPILED or self._is_short_for(height * width * at_once)):
                self._idle.popitem(last=False)
            graph = build_graph(self._network, height, width)
            compiled = self._core.compile_model(graph, "CPU", self._options | {"NUM_STREAMS": at_once})
            idle: SimpleQueue[Any] = SimpleQueue()
            for _ in range(at_once):
                idle.put(compiled.create_infer_request())
            self._idle[key] = idle  # not before it is filled: who found it empty would wait for ever
            return idle

    def _is_short_for(self, pixels: int) -> bool:
        return pixels > fitting_pixels(self._network.config, torch.device("cpu"))


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU; elsewhere it would silently compute in float32."""
    core: Any = ov.Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _last_line(error: Exception) -> str:
    """OpenVINO's messages trace its own sources first and say what happened last."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__
