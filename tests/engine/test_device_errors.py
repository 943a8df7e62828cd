"""What torch raises where memory runs out, and what else fails on a device: which is which."""

from __future__ import annotations

import re

import pytest
import torch

from lipt_stream.engine.device_errors import is_out_of_memory, translated
from lipt_stream.errors import DeviceError


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1099511627776 bytes."),
        RuntimeError("Exception from src/inference/src/cpp/infer_request.cpp:223:\nstd::bad_alloc"),
        RuntimeError("Failed to allocate 552960000 bytes of memory"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        torch.AcceleratorError("CUDA error: out of memory"),
    ],
    ids=str,
)
def test_memory_that_ran_out_is_recognised_and_said(error: BaseException) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(DeviceError, match="Out of memory while working") as caught, translated("working"):
        raise error
    assert "--tile" in caught.value.hint
    assert "\n" not in str(caught.value)


class OfCuPy(RuntimeError):
    __module__ = "cupy_backends.cuda.api.driver"


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"),
        OfCuPy("CUDA_ERROR_INVALID_HANDLE: invalid resource handle"),
    ],
    ids=str,
)
def test_a_gpu_that_failed_is_said_to_have_failed(error: RuntimeError) -> None:
    assert not is_out_of_memory(error)
    words = rf"The GPU failed while working \({re.escape(str(error).splitlines()[0])}\)\. Run `lipt-stream"
    with pytest.raises(DeviceError, match=words), translated("working"):
        raise error


def test_a_defect_stays_a_defect() -> None:
    with pytest.raises(RuntimeError, match="sizes do not match"), translated("working"):
        raise RuntimeError("sizes do not match")


class Uncompiled(RuntimeError):
    __module__ = "torch._inductor.exc"


def test_a_compiler_that_does_not_work_is_told_where_it_can_be_done_without() -> None:
    words = r"torch\.compile does not work here \(no compiler\)\. Use --no-compile"
    with pytest.raises(DeviceError, match=words), translated("training", if_not_compiled="Use --no-compile"):
        raise Uncompiled("no compiler")
    with pytest.raises(Uncompiled), translated("upscaling"):
        raise Uncompiled("no compiler")


def test_memory_that_runs_out_while_kernels_are_compiled_is_no_compilers_failure() -> None:
    def network(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    def backend(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    compiled = torch.compile(network, backend=backend)
    words = "Out of memory while training .CUDA out of memory. Tried to allocate 2.00 GiB"
    with pytest.raises(DeviceError, match=words), translated("training", if_not_compiled="Use --no-compile"):
        compiled(torch.ones(1))
