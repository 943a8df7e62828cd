"""Colors on CUDA: the two fused kernels of `color.cu`, compiled by CuPy, launched on torch's current stream.

The kernels get torch's own addresses, so nothing is copied, converted or allocated per call, and nothing waits: a call
may be captured in a CUDA graph. All variants are compiled in the constructor (once per process and device; CuPy keeps
the result on disk), so that a capture never meets the compiler. CuPy is imported when the first CudaColors is made.
"""

from __future__ import annotations

import functools
import importlib.util
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from lipt_stream.engine.color_math import (
    DevicePlanes,
    ToPlanes,
    ToRgb,
    check_shapes,
    to_planes_constants,
    to_rgb_constants,
)
from lipt_stream.errors import DeviceError
from lipt_stream.frame import VideoFormat

BLOCK: Final = (32, 8, 1)
_REALS: Final = {torch.float32: "float32", torch.float16: "float16"}

# The structs of color.cu, in C's own layout.
LAYOUT: Final = np.dtype(
    [
        *((name, np.int64) for name in ("y_row", "u_row", "v_row", "rgb_channel", "rgb_row", "rgb_column")),
        ("width", np.int32),
        ("height", np.int32),
    ],
    align=True,
)
TO_RGB: Final = np.dtype([(name, np.float32) for name in ToRgb.__slots__], align=True)
TO_PLANES: Final = np.dtype(
    [
        *((plane, np.float32, 4) for plane in ("y", "u", "v")),
        ("previous_x", np.float32),
        ("previous_y", np.float32),
        ("max_code", np.int32),
    ],
    align=True,
)
Struct = np.ndarray[tuple[()], np.dtype[np.void]]


def is_installed() -> bool:
    """Whether CuPy is there. Nothing is imported."""
    return importlib.util.find_spec("cupy") is not None


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel with all it is called with; addresses are integers."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[int | Struct, ...]


def pack(constants: ToRgb | ToPlanes) -> Struct:
    """Constants as the struct of the same name in color.cu."""
    dtype = TO_RGB if isinstance(constants, ToRgb) else TO_PLANES
    values = asdict(constants)
    return np.array(tuple(values[name] for name in dtype.names or ()), dtype)


def to_rgb_launch(video: VideoFormat, constants: Struct, planes: DevicePlanes, rgb: Tensor) -> Launch:
    """The call that fills `rgb` from `planes`. ValueError where a buffer is not one of `video`."""
    addresses = (*(plane.data_ptr() for plane in planes), rgb.data_ptr())
    return _launch("planes_to_rgb", video, addresses, constants, planes, rgb)


def to_planes_launch(video: VideoFormat, constants: Struct, planes: DevicePlanes, rgb: Tensor) -> Launch:
    """The call that fills `planes` from `rgb`. ValueError where a buffer is not one of `video`."""
    addresses = (rgb.data_ptr(), *(plane.data_ptr() for plane in planes))
    return _launch("rgb_to_planes", video, addresses, constants, planes, rgb)


def _launch(
    name: str, video: VideoFormat, addresses: tuple[int, ...], constants: Struct, planes: DevicePlanes, rgb: Tensor
) -> Launch:
    check_shapes(video, planes, rgb)
    sample_bytes = np.dtype(video.dtype).itemsize
    if any(plane.element_size() != sample_bytes or plane.stride(1) != 1 for plane in planes):
        raise ValueError(f"planes of {planes[0].dtype} or with gaps between samples for {video}")
    if rgb.dtype not in _REALS:
        raise ValueError(f"the colour kernels have no variant for RGB in {rgb.dtype}: float32 or float16")
    layout = np.array(
        (*(plane.stride(0) for plane in planes), *rgb.stride()[1:], video.width, video.height), dtype=LAYOUT
    )
    h, w = planes[1].shape
    return Launch(
        kernel=f"{name}_{8 * sample_bytes}_{_REALS[rgb.dtype]}",
        grid=(-(-w // BLOCK[0]), -(-h // BLOCK[1]), 1),
        arguments=(*addresses, constants, layout),
    )


class CudaColors:
    """Colors by fused kernels: each direction reads and writes every sample once. It owns no device memory."""

    def __init__(self, source: VideoFormat, target: VideoFormat, device: torch.device) -> None:
        """Raises InputError for a colour matrix that has no linear RGB, DeviceError where CuPy cannot compile here."""
        self._source, self._target = source, target
        self._in, self._out = pack(to_rgb_constants(source)), pack(to_planes_constants(target))
        # A plain "cuda" has no index, whatever torch's stubs say.
        index: int | None = device.index
        self._device = torch.device("cuda", torch.cuda.current_device() if index is None else index)  # pyright: ignore[reportUnnecessaryComparison]
        self._kernels = compiled_kernels(self._device.index)

    def to_rgb(self, planes: DevicePlanes, rgb: Tensor) -> None:
        self._start(to_rgb_launch(self._source, self._in, planes, rgb))

    def to_planes(self, rgb: Tensor, planes: DevicePlanes) -> None:
        self._start(to_planes_launch(self._target, self._out, planes, rgb))

    def _start(self, launch: Launch) -> None:
        with torch.cuda.device(self._device):
            stream = _StreamAddress(torch.cuda.current_stream().cuda_stream)
            self._kernels[launch.kernel](launch.grid, BLOCK, launch.arguments, stream=stream)


@dataclass(frozen=True, slots=True)
class _StreamAddress:
    """All that a CuPy function asks of a stream. CuPy's own wrappers of foreign streams differ between its versions:
    `ExternalStream` warns from 14 on, and `Stream.from_external` is missing before it."""

    ptr: int


@functools.cache
def compiled_kernels(device_index: int) -> dict[str, Any]:
    """Every kernel of color.cu, loaded on one device, by name. DeviceError where CuPy does not work on it."""
    source = files("lipt_stream.engine").joinpath("color.cu").read_text(encoding="utf-8")
    names = [
        f"{direction}_{bits}_{real}"
        for direction in ("planes_to_rgb", "rgb_to_planes")
        for bits in (8, 16)
        for real in _REALS.values()
    ]
    try:
        import cupy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DeviceError(f"CuPy is installed but cannot be imported: {error}", _REINSTALL) from error
    cuda: Any = cupy
    try:
        with torch.cuda.device(device_index):
            module = cuda.RawModule(code=source, options=("-std=c++17",))
            # `.kernel` is the function loaded on this device; called directly it takes the stream to run on.
            return {name: module.get_function(name).kernel for name in names}
    except (RuntimeError, OSError, cuda.cuda.compiler.CompileException) as error:
        first_line = next(iter(str(error).splitlines()), type(error).__name__)
        raise DeviceError(f"CuPy cannot compile the colour kernels: {first_line}", _REINSTALL) from error


_REINSTALL: Final = (  # before 14 it does not look for what pip installed with torch, but for a whole CUDA toolkit
    "Install the CuPy that matches torch's CUDA (cupy-cuda13x or cupy-cuda12x, 14 or later), or uninstall it"
)
