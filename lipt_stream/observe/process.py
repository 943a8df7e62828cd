"""What this process takes and what machine it runs on, by the standard library alone."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

MIB = 2**20


def peak_rss_mb() -> float:
    """The most resident memory this process ever had, or had since `forget_peak_rss`, in MiB."""
    if sys.platform == "win32":
        return _windows_memory()[1] / MIB
    # Not ru_maxrss on Linux: it starts from what the parent held when it forked.
    high_water = _proc_status("VmHWM")
    if high_water is not None:
        return high_water / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024  # bytes on macOS, KiB on the BSDs


def forget_peak_rss() -> bool:
    """Lets the peak count from what is resident now. False where the system cannot do so: all but Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): 5 resets VmHWM
    except OSError:  # another system, or a container that shows /proc to be read alone
        return False
    return True


def give_back_freed() -> None:
    """Let glibc hand back to the system what was freed, much of which it keeps, and which counts as resident. With
    another C library nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def rss_mb() -> float:
    """The resident memory of this process now, in MiB."""
    if sys.platform == "win32":
        return _windows_memory()[0] / MIB
    resident = _proc_status("VmRSS")
    if resident is None:  # no /proc: ps tells the same in KiB everywhere else
        command = ["ps", "-o", "rss=", "-p", str(os.getpid())]
        resident = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return resident / 1024


def describe_machine() -> dict[str, str | int]:
    """What a measured figure must name: `cpu` (its model), `cores` (that this process may use), `memory_mb`, `os`,
    `python`. Who measured adds the versions of what was measured."""
    description: dict[str, str | int] = {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    if sys.platform != "win32":
        description["memory_mb"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
    return description


def usable_cores() -> int:
    """How many cores this process may run on: its affinity where the system has such a thing."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (match := re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE)):
        return match[1]
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def _proc_status(field: str) -> int | None:
    """A size in KiB from /proc/self/status, or None where there is no such file or line."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    match = re.search(rf"^{field}:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return int(match[1]) if match else None


if sys.platform == "win32":
    from ctypes import wintypes

    class _MemoryCounters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of psapi.h."""

        _fields_ = (
            ("cb", wintypes.DWORD),
            ("page_fault_count", wintypes.DWORD),
            ("peak_working_set_size", ctypes.c_size_t),
            ("working_set_size", ctypes.c_size_t),
            ("quota_peak_paged_pool_usage", ctypes.c_size_t),
            ("quota_paged_pool_usage", ctypes.c_size_t),
            ("quota_peak_non_paged_pool_usage", ctypes.c_size_t),
            ("quota_non_paged_pool_usage", ctypes.c_size_t),
            ("pagefile_usage", ctypes.c_size_t),
            ("peak_pagefile_usage", ctypes.c_size_t),
        )

    def _windows_memory() -> tuple[int, int]:
        """(now, peak) working set in bytes."""
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.GetCurrentProcess.restype = wintypes.HANDLE
        read = kernel32.K32GetProcessMemoryInfo
        read.argtypes = (wintypes.HANDLE, ctypes.POINTER(_MemoryCounters), wintypes.DWORD)
        counters = _MemoryCounters(cb=ctypes.sizeof(_MemoryCounters))
        if not read(kernel32.GetCurrentProcess(), ctypes.byref(counters), counters.cb):
            raise ctypes.WinError(ctypes.get_last_error())
        return counters.working_set_size, counters.peak_working_set_size
