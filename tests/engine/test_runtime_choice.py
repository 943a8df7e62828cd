"""Which runtime and precision are picked, and what is refused."""

from __future__ import annotations

import importlib.util
import sys

import pytest
import torch

from lipt_stream.engine import runtimes
from lipt_stream.engine.runtimes import make_runtime
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from tests.engine.plain_network import HAS_OPENVINO, needs_openvino, on_cpu, random_network


def test_an_openvino_that_cannot_be_loaded_is_told_in_words(nano: LIPT, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("lipt_stream.engine.openvino")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)  # its import fails, as it does where a library is missing
    monkeypatch.setattr(runtimes.importlib.util, "find_spec", lambda name: name)
    for ask in (lambda: on_cpu(nano, "auto"), runtimes.openvino_version):
        with pytest.raises(DeviceError, match="OpenVINO is installed but cannot be loaded") as caught:
            ask()
        assert "--runtime torch" in caught.value.hint


@needs_openvino
def test_an_openvino_without_its_part_for_cpus_is_told_in_words(nano: LIPT, monkeypatch: pytest.MonkeyPatch) -> None:
    from lipt_stream.engine import openvino_runtime

    def no_plugin() -> None:
        last = 'Device with "CPU" name is not registered in the OpenVINO Runtime'
        raise RuntimeError(
            f"Exception from src/inference/src/cpp/core.cpp:268:\nException from core_impl.cpp\n{last}\n\n"
        )

    monkeypatch.setattr(openvino_runtime.ov, "Core", no_plugin)
    for ask in (lambda: on_cpu(nano, "auto"), runtimes.openvino_version):
        with pytest.raises(DeviceError, match='cannot be loaded: Device with "CPU" name is not registered') as caught:
            ask()
        assert "--runtime torch" in caught.value.hint


@pytest.fixture(scope="module")
def nano() -> LIPT:
    return random_network(LiptConfig.named("nano", 2))


@pytest.mark.parametrize("threads", [0, 1_000_000, 1.5, "2", True])
def test_threads_that_no_machine_has_are_refused(nano, threads):
    """torch would end the whole process where the system has none left."""
    with pytest.raises(SettingsError, match="Use 1 to 1024"):
        on_cpu(nano, "torch", threads=threads)


def test_openvino_is_picked_where_it_is_installed(nano):
    assert on_cpu(nano, "auto").name == ("openvino" if HAS_OPENVINO else "torch")


def test_torch_is_the_floor_where_openvino_is_not_installed(nano, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    assert on_cpu(nano, "auto").name == "torch"
    with pytest.raises(SettingsError, match="not installed"):
        on_cpu(nano, "openvino")


@pytest.mark.parametrize("runtime", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_auto_precision_is_what_the_cpu_has(nano, runtime):
    expected = "bfloat16" if runtimes.torch_has_bfloat16() else "float32"
    assert on_cpu(nano, runtime, "auto").precision == expected


def test_what_makes_no_sense_is_refused(nano, monkeypatch):
    with pytest.raises(SettingsError, match="float16 is for GPUs"):
        on_cpu(nano, "torch", "float16")
    with pytest.raises(SettingsError, match="threads is 0"):
        on_cpu(nano, "torch", threads=0)
    with pytest.raises(SettingsError, match="does not run on cuda"):
        make_runtime(nano, device=torch.device("cuda"), precision="auto", runtime="openvino", threads=None)
    monkeypatch.setattr(runtimes, "torch_has_bfloat16", lambda: False)
    assert on_cpu(nano, "torch", "auto").precision == "float32"
    with pytest.raises(DeviceError, match="no bfloat16"):
        on_cpu(nano, "torch", "bfloat16")


def test_film_of_more_than_eight_bits_is_not_left_to_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would leave bands: `pytest -s` prints how many codes a ramp near white keeps."""
    monkeypatch.setattr(runtimes, "torch_has_bfloat16", lambda: True)
    chosen = Upscaler.load("nano-x1-deblock", device="cpu", runtime="torch", scale=1)
    assert chosen.precision == "bfloat16"
    assert chosen.for_bit_depth(8) is chosen
    exact = chosen.for_bit_depth(10)
    assert exact.precision == "float32"
    assert exact.for_bit_depth(12) is exact is chosen.for_bit_depth(12), "made once"
    asked = Upscaler.load("nano-x1-deblock", device="cpu", runtime="torch", scale=1, precision="bfloat16")
    assert asked.for_bit_depth(10) is asked, "who asks for it has it"
    ramp = torch.linspace(900, 940, 256).round().div(1023).expand(1, 3, 32, 256)
    codes = [len((upscaler(ramp)[0, 1, 16] * 1023).round().unique()) for upscaler in (exact, chosen)]
    print(f"codes of 10 bits near white: {codes[0]} by float32, {codes[1]} by bfloat16, in torch")  # noqa: T201
    assert codes[0] > 30 > codes[1]
