"""Where errors of torch on a device become errors of ours. OpenVINO's do so where it is loaded and called."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from lipt_stream.errors import DeviceError

_WORDS_OF_MEMORY = (
    "not enough memory",  # torch on a CPU
    "can't allocate memory",
    "failed to allocate",  # OpenVINO, where a large buffer of its own is refused
    "bad_alloc",  # OpenVINO, for all else
    "cuda error: out of memory",  # of the driver itself: a context, a kernel's first use, pinned memory
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "unable to find an engine",  # torch, where every way of cuDNN wants more memory than there is (pytorch#108645)
)

_WORDS_OF_A_GPU = ("cuda error", "cudnn error", "cublas error", "cublas_status", "cudnn_status", "nvrtc")

_COMPILER = ("torch._dynamo", "torch._inductor")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out: by its class, or, on a CPU and in NVIDIA's libraries, its words."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(known in words for known in _WORDS_OF_MEMORY)


@contextmanager
def translated(
    doing: str,
    if_too_large: str = "Use a smaller --depth or --tile, a smaller --model, or --device cpu",
    if_not_compiled: str = "",
) -> Generator[None]:
    """Turn what torch raises on a device into a DeviceError that says what was being done.

    `if_not_compiled`: what to do without torch.compile; where nothing is compiled, its errors stay defects.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        cause = _what_a_compiler_met(error)
        if is_out_of_memory(cause):
            raise DeviceError(
                f"Out of memory while {doing} ({_first_line(cause)})",
                if_too_large,
            ) from error
        if if_not_compiled and type(error).__module__.startswith(_COMPILER):
            raise DeviceError(f"torch.compile does not work here ({_first_line(error)})", if_not_compiled) from error
        if _is_of_a_gpu(error):
            raise DeviceError(
                f"The GPU failed while {doing} ({_first_line(error)})",
                "Run `lipt-stream doctor`; --device cpu works without it",
            ) from error
        raise


def _what_a_compiler_met(error: BaseException) -> BaseException:
    """What torch.compile wraps: it tries kernels out, and the first to run is the first to find the memory full."""
    inner = getattr(error, "inner_exception", None)
    return inner if isinstance(inner, BaseException) else error


def _is_of_a_gpu(error: BaseException) -> bool:
    """Whether torch, a library of NVIDIA's below it, or CuPy says so."""
    if isinstance(error, torch.AcceleratorError) or type(error).__module__.startswith("cupy"):
        return True
    return any(known in str(error).lower() for known in _WORDS_OF_A_GPU)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
