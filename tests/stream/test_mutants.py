"""100 of the 1,000 damaged files of benchmarks/mutants.py, which runs them in a process that may crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "mutants.py"


@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_hundred_damaged_files(tmp_path: Path) -> None:
    if not BENCHMARK.is_file():
        pytest.skip("only in a checkout: the benchmarks are not part of the source package")
    result = tmp_path / "mutants.json"
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--count", "100", "--seed", "3", "--out", str(result)],
        capture_output=True,
        text=True,
        timeout=880,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    outcomes = json.loads(result.read_text())["outcomes"]
    assert sum(outcomes.values()) == 100
    assert set(outcomes) == {"upscaled", "upscaled, damage said", "refused"}, "each way is taken"
