"""Free memory inside control groups, in folders as Linux shows them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from lipt_stream.engine import free_memory
from lipt_stream.engine.free_memory import fitting_pixels, free_host_bytes
from lipt_stream.model.config import LiptConfig

GIB = 1024**3


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, Path]:
    """/proc and /sys/fs/cgroup of a machine with 64 GiB free; no groups yet."""
    write(tmp_path / "proc/meminfo", f"MemTotal: {99 * 1024**2} kB\nMemAvailable:   {64 * 1024**2} kB\n")
    return tmp_path / "proc", tmp_path / "cgroup"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group(folder: Path, limit: int | str, usage: int, cached: int = 0) -> None:
    write(folder / "memory.max", f"{limit}\n")
    write(folder / "memory.current", f"{usage}\n")
    write(folder / "memory.stat", f"anon 5\nfile 9\ninactive_file {cached}\n")


def old_group(folder: Path, limit: int, usage: int, cached: int = 0) -> None:
    write(folder / "memory.limit_in_bytes", f"{limit}\n")
    write(folder / "memory.usage_in_bytes", f"{usage}\n")
    write(folder / "memory.stat", f"inactive_file 1\ntotal_inactive_file {cached}\n")


def test_without_groups_it_is_the_machines(machine: tuple[Path, Path]) -> None:
    assert free_host_bytes(*machine) == 64 * GIB


def test_a_container_leaves_its_limit_less_what_it_uses(machine: tuple[Path, Path]) -> None:
    """Inside it the place is the root, or one of the host's that is not to be seen."""
    proc, cgroups = machine
    group(cgroups, 4 * GIB, 3 * GIB, cached=GIB)
    for place in ("/", "/system.slice/docker-0123.scope"):
        write(proc / "self/cgroup", f"0::{place}\n")
        assert free_host_bytes(proc, cgroups) == 2 * GIB


def test_the_tightest_group_around_counts(machine: tuple[Path, Path]) -> None:
    proc, cgroups = machine
    write(proc / "self/cgroup", "0::/user.slice/a.scope\n")
    group(cgroups / "user.slice/a.scope", "max", 2 * GIB)
    assert free_host_bytes(proc, cgroups) == 64 * GIB
    group(cgroups / "user.slice", 3 * GIB, 2 * GIB)
    assert free_host_bytes(proc, cgroups) == GIB
    group(cgroups / "user.slice/a.scope", 2 * GIB, 3 * GIB)
    assert free_host_bytes(proc, cgroups) == 0


def test_a_wide_limit_frees_no_memory_that_the_machine_lacks(machine: tuple[Path, Path]) -> None:
    proc, cgroups = machine
    write(proc / "self/cgroup", "0::/\n")
    group(cgroups, 200 * GIB, GIB)
    assert free_host_bytes(proc, cgroups) == 64 * GIB


def test_groups_of_the_first_version(machine: tuple[Path, Path]) -> None:
    proc, cgroups = machine
    write(proc / "self/cgroup", "9:name=systemd:/\n4:hugetlb,memory:/docker/0123\n1:cpu:/\n0::/\n")
    old_group(cgroups / "memory", 2**63 - 4096, 30 * GIB)
    assert free_host_bytes(proc, cgroups) == 64 * GIB
    old_group(cgroups / "memory/docker/0123", 8 * GIB, 7 * GIB, cached=GIB)
    assert free_host_bytes(proc, cgroups) == 2 * GIB


def test_a_group_that_tells_only_a_part_is_taken_at_that(machine: tuple[Path, Path]) -> None:
    """As some sandboxes have it, which imitate control groups or shut them out."""
    proc, cgroups = machine
    write(proc / "self/cgroup", "0::/inner\n")
    write(cgroups / "memory.max", f"{4 * GIB}\n")
    write(cgroups / "memory.current", f"{GIB}\n")
    assert free_host_bytes(proc, cgroups) == 3 * GIB, "no memory.stat"
    write(cgroups / "memory.stat", "anon 5\n")
    assert free_host_bytes(proc, cgroups) == 3 * GIB, "one without the line"
    (cgroups / "memory.current").unlink()
    assert free_host_bytes(proc, cgroups) == 4 * GIB, "no usage"


def test_this_machine_has_some() -> None:
    assert free_host_bytes() > 0


def test_large_windows_take_memory_where_channels_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_memory, "free_bytes", lambda _: 2**30)
    nano = LiptConfig.named("nano", 2)
    fitting = fitting_pixels(nano, torch.device("cpu"))
    assert fitting_pixels(dataclasses.replace(nano, window=64), torch.device("cpu")) < fitting / 32
    assert fitting_pixels(LiptConfig.named("tiny", 2), torch.device("cpu")) == fitting // 2
