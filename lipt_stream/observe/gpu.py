"""What an NVIDIA GPU is doing, as its driver tells (NVML), while this process computes on it.

A machine without NVIDIA's driver is no error here: there is then nothing to tell, and every question answers None. The
same goes for single figures, which many GPUs (laptops, MIG slices, virtual ones) do not report.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pynvml  # pyright: ignore[reportMissingTypeStubs]
import torch

MIB: Final = 2**20
_nvml: Any = pynvml  # its functions have no types

# Bits of NVML's clock event reasons that hold a clock below what the work asks for (idleness, bit 0, does not).
_THROTTLES: Final[dict[int, str]] = {
    0x02: "application clocks",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal limit",
    0x40: "hardware thermal limit",
    0x80: "power brake",
    0x100: "display clocks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One look at a GPU. Memory is in MiB and that of all processes; a figure is None where the GPU is silent on it."""

    name: str
    uuid: str
    utilization_percent: float | None
    memory_used_mb: float | None
    memory_total_mb: float | None
    power_watts: float | None
    temperature_c: float | None
    sm_clock_mhz: float | None
    throttle_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest, mean and largest of what was sampled."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSummary:
    """A GPU over a while. `throttle_reasons` are all that were ever seen."""

    name: str
    samples: int
    utilization_percent: Spread | None
    memory_used_mb: Spread | None
    memory_total_mb: float | None
    power_watts: Spread | None
    temperature_c: Spread | None
    sm_clock_mhz: Spread | None
    throttle_reasons: tuple[str, ...]

    def __str__(self) -> str:
        parts = [self.name]
        if self.utilization_percent:
            parts.append(f"{self.utilization_percent.mean:.0f} % busy")
        if self.memory_used_mb:
            parts.append(f"{self.memory_used_mb.max / 1024:.1f} GiB at most")
        if self.power_watts:
            parts.append(f"{self.power_watts.mean:.0f} W")
        if self.sm_clock_mhz:
            parts.append(f"{self.sm_clock_mhz.mean:.0f} MHz")
        if self.temperature_c:
            parts.append(f"{self.temperature_c.max:.0f} °C at most")
        if self.throttle_reasons:
            parts.append(f"held back by {', '.join(self.throttle_reasons)}")
        return ", ".join(parts)


class GpuMonitor:
    """Samples the GPU behind one torch device. NVML and CUDA number GPUs differently, and CUDA_VISIBLE_DEVICES hides
    some from CUDA alone, so the two are matched by UUID. Nothing is told before this process uses CUDA."""

    def __init__(self, device: torch.device | None = None) -> None:
        """`device` is the first CUDA device when None; a device that is no GPU answers None to everything."""
        self._device = torch.device("cuda", 0) if device is None else device
        self._gpu: Any = None

    def sample(self) -> GpuSample | None:
        """What the GPU does now, or None: no NVIDIA GPU, no driver, or CUDA not in use by this process (yet)."""
        if self._gpu is None:
            uuid = cuda_uuid(self._device) if _nvml_is_there() else None
            self._gpu = _by_uuid(uuid) if uuid else None
        return None if self._gpu is None else _read(self._gpu)

    @contextmanager
    def watching(self, interval_seconds: float = 0.2) -> Generator[GpuWatch]:
        """Sample in the background while the block runs; its summary is complete once the block has ended."""
        watch, stop = GpuWatch(), threading.Event()

        def watch_until_stopped() -> None:
            while True:
                watch.note(self.sample())
                if stop.wait(interval_seconds):
                    return

        thread = threading.Thread(target=watch_until_stopped, name="lipt-gpu-monitor", daemon=True)
        if _nvml_is_there():
            thread.start()
        try:
            yield watch
        finally:
            stop.set()
            if thread.is_alive():
                thread.join()


class GpuWatch:
    """Sums up samples in constant memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples = 0
        self._last: GpuSample | None = None
        self._figures: dict[str, _Running] = {}
        self._throttles: set[str] = set()

    def note(self, sample: GpuSample | None) -> None:
        """Take a sample in; None adds nothing."""
        if sample is None:
            return
        with self._lock:
            self._samples += 1
            self._last = sample
            self._throttles.update(sample.throttle_reasons)
            for name in ("utilization_percent", "memory_used_mb", "power_watts", "temperature_c", "sm_clock_mhz"):
                value: float | None = getattr(sample, name)
                if value is not None:
                    self._figures.setdefault(name, _Running()).add(value)

    def summary(self) -> GpuSummary | None:
        """What was seen so far, or None where nothing was."""
        with self._lock:
            if self._last is None:
                return None
            spreads = {name: running.spread() for name, running in self._figures.items()}
            return GpuSummary(
                name=self._last.name,
                samples=self._samples,
                utilization_percent=spreads.get("utilization_percent"),
                memory_used_mb=spreads.get("memory_used_mb"),
                memory_total_mb=self._last.memory_total_mb,
                power_watts=spreads.get("power_watts"),
                temperature_c=spreads.get("temperature_c"),
                sm_clock_mhz=spreads.get("sm_clock_mhz"),
                throttle_reasons=tuple(sorted(self._throttles)),
            )


class _Running:
    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0
        self._min = float("inf")
        self._max = float("-inf")

    def add(self, value: float) -> None:
        self._count += 1
        self._total += value
        self._min, self._max = min(self._min, value), max(self._max, value)

    def spread(self) -> Spread:
        return Spread(self._min, self._total / self._count, self._max)


def all_gpus() -> tuple[GpuSample, ...]:
    """Every NVIDIA GPU that the driver knows, whether or not torch can use it; empty without a driver."""
    if not _nvml_is_there():
        return ()
    count = _told(_nvml.nvmlDeviceGetCount) or 0
    handles = (_told(_nvml.nvmlDeviceGetHandleByIndex, index) for index in range(count))
    return tuple(_read(handle) for handle in handles if handle is not None)


def driver_version() -> str | None:
    """The version of NVIDIA's driver, such as "580.95.05"; None without one."""
    return _told(_nvml.nvmlSystemGetDriverVersion) if _nvml_is_there() else None


def cuda_uuid(device: torch.device) -> str | None:
    """The UUID of a CUDA device, without NVML's prefix. None where it is none, or CUDA is not in use yet: asking would
    start CUDA, and hold its memory, in a process that may never need it."""
    if device.type != "cuda" or not torch.cuda.is_initialized():
        return None
    cuda: Any = torch.cuda  # its properties have no type
    return str(cuda.get_device_properties(device).uuid)


@functools.cache
def _nvml_is_there() -> bool:
    """Whether NVIDIA's driver library can be loaded and started. Asked once; it stays loaded until the process ends."""
    try:
        _nvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


def _by_uuid(uuid: str) -> Any:
    """NVML's handle of a whole GPU or of a MIG slice; None where NVML does not know it."""
    return _told(_nvml.nvmlDeviceGetHandleByUUID, f"GPU-{uuid}") or _told(
        _nvml.nvmlDeviceGetHandleByUUID, f"MIG-{uuid}"
    )


def _told(question: Callable[..., Any], *arguments: Any) -> Any:
    """NVML's answer, or None where this GPU or driver has none."""
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None


def _read(gpu: Any) -> GpuSample:
    utilization = _told(_nvml.nvmlDeviceGetUtilizationRates, gpu)
    memory = _told(_nvml.nvmlDeviceGetMemoryInfo, gpu)
    milliwatts = _told(_nvml.nvmlDeviceGetPowerUsage, gpu)
    reasons: int = _told(_nvml.nvmlDeviceGetCurrentClocksEventReasons, gpu) or 0
    return GpuSample(
        name=_told(_nvml.nvmlDeviceGetName, gpu) or "NVIDIA GPU",
        uuid=_told(_nvml.nvmlDeviceGetUUID, gpu) or "",
        utilization_percent=None if utilization is None else float(utilization.gpu),
        memory_used_mb=None if memory is None else memory.used / MIB,
        memory_total_mb=None if memory is None else memory.total / MIB,
        power_watts=None if milliwatts is None else milliwatts / 1000,
        temperature_c=_told(_nvml.nvmlDeviceGetTemperature, gpu, _nvml.NVML_TEMPERATURE_GPU),
        sm_clock_mhz=_told(_nvml.nvmlDeviceGetClockInfo, gpu, _nvml.NVML_CLOCK_SM),
        throttle_reasons=tuple(name for bit, name in _THROTTLES.items() if reasons & bit),
    )
