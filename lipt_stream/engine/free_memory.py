"""How much memory a device has left for a network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import torch

from lipt_stream.model.config import LiptConfig

# Peak bytes per input pixel and channel in float32: twice what benchmarks/model_memory.py measures (33 with nano, 37
# with tiny), for what other versions and runtimes hold.
BYTES_PER_PIXEL_CHANNEL: Final = 64
BYTES_PER_PIXEL_MAP: Final = 16
"""The same for each number of an attention map, p p a pixel: what counts where windows are large and channels few. A
network with a window of 64 took 8."""
MEMORY_SHARE: Final = 0.5  # of what is free: codecs, slots and other programs want the rest


def fitting_pixels(config: LiptConfig, device: torch.device) -> int:
    """How many pixels a network may be given at a time, by what is free on `device` now."""
    needed = max(BYTES_PER_PIXEL_CHANNEL * config.channels, BYTES_PER_PIXEL_MAP * config.window**2)
    return int(free_bytes(device) * MEMORY_SHARE / needed)


def free_bytes(device: torch.device) -> int:
    """What may still be taken on `device` before something fails for want of it."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_host_bytes()


def free_host_bytes(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process may still take: the machine's free memory, or what its control groups leave where that is less.

    In a container the machine's memory is no measure: the kernel kills a process that takes more than its group may.
    """
    return min([_machine_free_bytes(proc / "meminfo"), *_group_free_bytes(proc / "self/cgroup", cgroups)])


def _machine_free_bytes(meminfo: Path) -> int:
    if meminfo.is_file():  # Linux: counts the page cache as free, as it should
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS: half of all memory
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 1024**3  # Windows has no call for it in the standard library: a cautious guess


def _group_free_bytes(membership: Path, cgroups: Path) -> Iterator[int]:
    """Of each control group that this process is in, and of those around it, where there is a limit (cgroups(7))."""
    for line in membership.read_text().splitlines() if membership.is_file() else ():
        _, controllers, place = line.split(":", 2)
        if not controllers:
            root, names = cgroups, _VERSION_2
        elif "memory" in controllers.split(","):
            root, names = cgroups / "memory", _VERSION_1
        else:
            continue
        inside = PurePosixPath(place.lstrip("/"))
        for group in (inside, *inside.parents):  # in a container only the last may be there, as its own group
            free = _left_in(root / group, names)
            if free is not None:
                yield free


def _left_in(group: Path, names: _Names) -> int | None:
    """None for a group without a limit. Cached files count as free: they fill every group that reads a film."""
    limit = _told(group / names.limit)
    if limit in ("", "max"):
        return None
    counts = dict(line.split() for line in _told(group / "memory.stat").splitlines())
    return max(0, int(limit) - int(_told(group / names.usage) or 0) + int(counts.get(names.cached, 0)))


def _told(file: Path) -> str:
    """Nothing where there is no such file or it may not be read: sandboxes imitate control groups, or shut them out."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""


class _Names(NamedTuple):
    limit: str
    usage: str
    cached: str  # of memory.stat


_VERSION_2: Final = _Names("memory.max", "memory.current", "inactive_file")
_VERSION_1: Final = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
