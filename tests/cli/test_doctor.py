"""What doctor says of a GPU that is there and does not work."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import torch

from lipt_stream.cli import doctor
from lipt_stream.errors import DeviceError
from lipt_stream.model import catalog
from lipt_stream.observe.gpu import GpuSample


@pytest.fixture
def _gpu_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that the driver and torch see, and for which this build of torch has no code."""

    def no_code(*_: object, **__: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available for execution\nCompile with ...")

    def no_compiler(_: int) -> None:
        raise DeviceError("CuPy is installed but cannot be imported: libnvrtc.so.12", "Install the CuPy that matches")

    gpu = GpuSample(
        name="Tesla P100",
        uuid="GPU-0",
        utilization_percent=0,
        memory_used_mb=1,
        memory_total_mb=16_384,
        power_watts=30,
        temperature_c=30,
        sm_clock_mhz=1000,
        throttle_reasons=(),
    )
    monkeypatch.setattr(doctor, "all_gpus", lambda: (gpu,))
    monkeypatch.setattr(doctor, "driver_version", lambda: "580.1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "zeros", no_code)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(doctor, "compiled_kernels", no_compiler)


@pytest.mark.usefixtures("_gpu_that_is_too_old")
def test_a_gpu_that_is_seen_and_computes_nothing_is_broken() -> None:
    found = {finding.name: finding for finding in doctor._gpu()}
    assert (found["gpu"].state, found["gpu"].detail) == ("ok", "Tesla P100, 16.0 GiB")
    torch_on, cupy_on = found["torch on cuda:0"], found["cupy on cuda:0"]
    assert torch_on.state == "broken"
    assert torch_on.detail == "CUDA error: no kernel image is available for execution"
    assert "build of torch for this card" in torch_on.advice
    assert cupy_on.state == "broken"
    assert cupy_on.advice == "Install the CuPy that matches"


def test_an_openvino_that_cannot_be_loaded_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_be_loaded() -> str:
        raise DeviceError("OpenVINO is installed but cannot be loaded: libtbb.so.12", "Install it again")

    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(doctor, "openvino_version", cannot_be_loaded)
    finding = doctor._runtime()
    assert (finding.state, finding.advice) == ("broken", "Install it again")
    assert "libtbb.so.12" in finding.detail


def test_a_checkout_that_is_not_installed_is_examined_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    found = doctor.examine()
    next(found)
    assert next(found).detail == "not installed, run from its folder"


def test_weights_without_an_index_are_broken_and_no_end_of_the_examination(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalog, "weights_dir", lambda: tmp_path)
    (found,) = doctor._weights()
    assert (found.name, found.state, found.advice) == ("weights", "broken", "Install the package again")
    assert "index.toml" in found.detail


@pytest.mark.parametrize(("cuda", "said"), [(None, "Install a CUDA build"), ("12.8", "update NVIDIA's driver")])
def test_the_advice_is_for_the_torch_that_is_there(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, said: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    assert said in doctor._advice_on_cuda()
