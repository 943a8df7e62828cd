"""LIPT run by OpenVINO on a CPU: the fastest way where there is no GPU (benchmarks/cpu_runtimes.py)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Final, Literal

import torch
from torch import Tensor

from lipt_stream.engine.device_errors import is_out_of_memory
from lipt_stream.engine.openvino_graph import build_graph
from lipt_stream.engine.openvino_import import ov
from lipt_stream.errors import DeviceError
from lipt_stream.model.lipt import LIPT, pad_by_reflection

MAX_COMPILED: Final = 2
"""Sizes kept compiled. A video has one; each holds its own activations, so more would only cost memory."""


class OpenVinoRuntime:
    """A deployed network compiled by OpenVINO for each size it meets (about 0.1 to 0.5 s a size, then kept).

    Called with (N, 3, H, W) float on the CPU, 0..1, any size; gives (N, 3, scale H, scale W) float32, not clamped.
    Input and output are read and written in torch's memory; the images of a batch go one by one. May be called from
    any thread, one call at a time; Python's lock is free meanwhile. DeviceError where OpenVINO fails; MemoryError or
    RuntimeError where memory runs out, as torch has it.
    """

    def __init__(self, network: LIPT, precision: Literal["float32", "bfloat16"], threads: int | None) -> None:
        self.name: Final = "openvino"
        self.precision: Final = precision
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
        self._requests: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        scale = self._network.config.scale
        x = pad_by_reflection(images.detach().float(), self._network.config.window).contiguous()
        y = torch.empty((x.shape[0], 3, scale * x.shape[2], scale * x.shape[3]))
        with self._lock:
            for index in range(x.shape[0]):
                self._infer(x[index : index + 1], y[index : index + 1])
        return y[..., : scale * height, : scale * width]

    def _infer(self, image: Tensor, result: Tensor) -> None:
        height, width = image.shape[-2:]
        try:
            request = self._request(height, width)
            request.set_input_tensor(ov.Tensor(image.numpy(), shared_memory=True))
            request.set_output_tensor(ov.Tensor(result.numpy(), shared_memory=True))
            request.infer()
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            raise DeviceError(
                f"OpenVINO failed on {width}x{height} pixels ({_last_line(error)})", "Use --runtime torch"
            ) from error

    def _request(self, height: int, width: int) -> Any:
        """The compiled network's request for this size, compiled now if need be; the longest unused one is dropped."""
        size = height, width
        if size in self._requests:
            self._requests.move_to_end(size)
            return self._requests[size]
        while len(self._requests) >= MAX_COMPILED:
            self._requests.popitem(last=False)
        compiled = self._core.compile_model(build_graph(self._network, height, width), "CPU", self._options)
        self._requests[size] = compiled.create_infer_request()
        return self._requests[size]


def has_bfloat16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU; elsewhere it would silently compute in float32."""
    core: Any = ov.Core()
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _last_line(error: Exception) -> str:
    """OpenVINO's messages trace its own sources first and say what happened last."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else type(error).__name__
