"""Memory of this process and the name of this machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import numpy as np
import psutil
import pytest

from lipt_stream.observe.process import describe_machine, forget_peak_rss, peak_rss_mb, rss_mb, usable_cores


def test_resident_memory_is_what_the_system_counts():
    assert rss_mb() == pytest.approx(psutil.Process().memory_info().rss / 2**20, rel=0.05, abs=8)
    assert peak_rss_mb() >= rss_mb() - 1


def test_the_peak_remembers_what_was_given_back_and_starts_afresh_in_a_child():
    """A child's peak is its own, whatever its parent held when it started it."""
    program = """
import json
from lipt_stream.observe.process import peak_rss_mb, rss_mb
before = peak_rss_mb()
held = bytearray(b"x") * (200 * 2**20)
during = rss_mb()
del held
print(json.dumps([before, during, rss_mb(), peak_rss_mb()]))
"""
    burden = np.ones(300 * 2**20, np.uint8)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    del burden
    before, during, after, peak = json.loads(done.stdout)
    assert before < 150
    assert during >= before + 190
    assert after <= during - 150
    assert peak >= during - 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can")
def test_the_peak_can_be_forgotten():
    held = np.ones(200 * 2**20, np.uint8)
    high = peak_rss_mb()
    del held
    assert peak_rss_mb() >= high - 1
    assert forget_peak_rss()
    assert peak_rss_mb() <= high - 150


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can")
def test_what_was_freed_is_given_back():
    """Of blocks too small for mappings of their own, below one that is still held."""
    program = """
import json
from lipt_stream.observe.process import give_back_freed, rss_mb
blocks = [bytes(4000) for _ in range(50_000)]
last = bytes(4000)
del blocks
before = rss_mb()
give_back_freed()
print(json.dumps([before, rss_mb()]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    before, after = json.loads(done.stdout)
    assert after <= before - 150


def test_the_machine_is_named():
    machine = describe_machine()
    assert machine["cpu"]
    assert machine["cores"] == usable_cores()
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
    assert machine["python"] == ".".join(map(str, sys.version_info[:3]))
    if "memory_mb" in machine:
        assert machine["memory_mb"] == pytest.approx(psutil.virtual_memory().total / 2**20, rel=0.01)
    assert json.loads(json.dumps(machine)) == machine
