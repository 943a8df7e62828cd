"""The one place where errors of torch and of the inference runtimes become errors of ours."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from lipt_stream.errors import DeviceError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory ran out: on a GPU (its own class) or on a CPU (only words tell)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("not enough memory" in words or "can't allocate memory" in words)


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Turn what torch raises on a device into a DeviceError that says what was being done."""
    try:
        yield
    except torch.AcceleratorError as error:
        raise DeviceError(
            f"The GPU failed while {doing} ({_first_line(error)})",
            "Run `lipt-stream doctor`; --device cpu works without it",
        ) from error
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise DeviceError(
                f"Out of memory while {doing} ({_first_line(error)})",
                "Use a smaller --depth or --tile, a smaller --model, or --device cpu",
            ) from error
        raise


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(". ")
