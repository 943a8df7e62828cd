"""GPU figures: none without a driver, all of them from one, None for what a GPU is silent on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lipt_stream.observe.gpu import GpuMonitor, GpuSample, GpuSummary, GpuWatch, Spread, all_gpus

FAKE_DRIVER = Path(__file__).parent / "fake_nvml.c"
FIRST = "11111111-aaaa-bbbb-cccc-000000000001"
SLICE = "22222222-aaaa-bbbb-cccc-000000000002"


def has_driver() -> bool:
    return bool(all_gpus())


@pytest.fixture(scope="module")
def fake_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libnvidia-ml.so.1 of two GPUs in it."""
    compiler = shutil.which("gcc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("no gcc, or not Linux")
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", str(FAKE_DRIVER), "-o", str(library)], check=True)
    return folder


def ask(driver: Path, question: str) -> object:
    """The JSON that `question` prints in a process of its own that loads this driver."""
    program = "import dataclasses, json, time, torch\nfrom lipt_stream.observe import gpu\n" + question
    environment = os.environ | {"LD_LIBRARY_PATH": str(driver)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def test_without_a_gpu_there_is_nothing_to_tell():
    if has_driver():
        pytest.skip("this machine has an NVIDIA driver")
    monitor = GpuMonitor()
    assert monitor.sample() is None
    with monitor.watching(0.01) as watch:
        pass
    assert watch.summary() is None
    assert all_gpus() == ()


def test_a_cpu_has_no_gpu_figures_and_asking_starts_no_cuda():
    assert GpuMonitor(torch.device("cpu")).sample() is None
    if not torch.cuda.is_initialized():
        GpuMonitor().sample()
        assert not torch.cuda.is_initialized()


def test_every_gpu_of_the_driver_is_told_and_silence_is_none(fake_driver):
    first, second = ask(fake_driver, "print(json.dumps([dataclasses.asdict(g) for g in gpu.all_gpus()]))")
    assert first == {
        "name": "Fake 0",
        "uuid": f"GPU-{FIRST}",
        "utilization_percent": 83.0,
        "memory_used_mb": 2048.0,
        "memory_total_mb": 81920.0,
        "power_watts": 200.5,
        "temperature_c": 61,
        "sm_clock_mhz": 1755,
        "throttle_reasons": ["power cap", "hardware thermal limit"],
    }
    assert second["name"] == "Fake 1"
    assert second["throttle_reasons"] == []
    silent = {"utilization_percent", "memory_used_mb", "memory_total_mb", "power_watts", "temperature_c"}
    assert all(second[name] is None for name in silent | {"sm_clock_mhz"})


def test_doctor_names_every_gpu_and_the_driver(fake_driver):
    question = """
import itertools
from lipt_stream.cli.doctor import examine
found = itertools.takewhile(lambda finding: "cuda" not in finding.name, examine())
print(json.dumps([[finding.name, finding.detail] for finding in found]))
"""
    told = ask(fake_driver, question)
    assert told[-3:] == [["gpu", "Fake 0, 80.0 GiB"], ["gpu", "Fake 1"], ["nvidia driver", "999.12.3"]]


@pytest.mark.parametrize(("uuid", "name"), [(FIRST, "Fake 0"), (SLICE, "Fake 1"), ("unknown", None)])
def test_the_gpu_is_found_by_its_uuid_whole_or_slice(fake_driver, uuid, name):
    """CUDA tells the UUID, which no machine without a GPU can: that one answer is put in its place."""
    question = f"gpu.cuda_uuid = lambda device: {uuid!r}\nsample = gpu.GpuMonitor().sample()\n"
    assert ask(fake_driver, question + "print(json.dumps(sample and sample.name))") == name


def test_watching_sums_up_what_was_sampled(fake_driver):
    question = f"""
gpu.cuda_uuid = lambda device: {FIRST!r}
with gpu.GpuMonitor().watching(0.005) as watch:
    while (watch.summary() is None) or watch.summary().samples < 5:
        time.sleep(0.005)
summary = watch.summary()
after = watch.summary().samples
time.sleep(0.05)
print(json.dumps([dataclasses.asdict(summary), str(summary), watch.summary().samples == after]))
"""
    summary, line, stopped = ask(fake_driver, question)
    samples = summary["samples"]
    assert samples >= 5
    assert stopped
    highest = 200.5 + 10 * (samples - 1)
    assert summary["power_watts"] == {"min": 200.5, "mean": pytest.approx((200.5 + highest) / 2), "max": highest}
    assert summary["memory_total_mb"] == 81920
    assert line.startswith("Fake 0, 83 % busy, 2.0 GiB at most, ")
    assert line.endswith("1755 MHz, 61 °C at most, held back by hardware thermal limit, power cap")


def test_a_summary_ignores_what_was_silent():
    watch = GpuWatch()
    watch.note(None)
    assert watch.summary() is None
    for watts, reasons in ((100.0, ()), (None, ("power cap",)), (300.0, ("sync boost",))):
        watch.note(
            GpuSample(
                name="GPU",
                uuid="GPU-1",
                utilization_percent=None,
                memory_used_mb=None,
                memory_total_mb=None,
                power_watts=watts,
                temperature_c=None,
                sm_clock_mhz=None,
                throttle_reasons=reasons,
            )
        )
    summary = watch.summary()
    assert isinstance(summary, GpuSummary)
    assert summary.samples == 3
    assert summary.power_watts == Spread(100.0, 200.0, 300.0)
    assert summary.utilization_percent is None
    assert summary.throttle_reasons == ("power cap", "sync boost")
    assert str(summary) == "GPU, 200 W, held back by power cap, sync boost"


@pytest.mark.gpu
def test_a_real_gpu_tells_its_name_and_memory():
    torch.zeros(1, device="cuda")
    held = torch.zeros(256 * 2**20, dtype=torch.uint8, device="cuda")
    with GpuMonitor(torch.device("cuda")).watching(0.02) as watch:
        for _ in range(50):
            held += 1
        torch.cuda.synchronize()
    sample, summary = GpuMonitor().sample(), watch.summary()
    assert sample is not None
    assert summary is not None
    assert summary.samples >= 1
    assert sample.name == summary.name == torch.cuda.get_device_name(0)
    assert sample.uuid.endswith(str(torch.cuda.get_device_properties(0).uuid))
    if sample.memory_used_mb is not None:
        assert 256 <= sample.memory_used_mb <= sample.memory_total_mb
