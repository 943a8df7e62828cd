"""scripts/train_on_gpu as it is used: prepared here, trained in two calls, the second from what the first sent back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lipt_stream.model.weights import load_weights

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_on_gpu"
OPTIONS = "--model nano --batch 2 --patch 8 --tail-patch 16 --threads 1 --device cpu"


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False
    )


def test_two_calls_on_two_machines(photos: Path, tmp_path: Path) -> None:
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data", "--mb", 60)
    assert prepared.returncode == 0, prepared.stderr
    assert "4 of 4 images, 1 to validate by" in prepared.stdout
    plan = tmp_path / "plan.txt"
    plan.write_text(f"# two runs\none: {OPTIONS} --scale 2 --minutes 0.2\ntwo: {OPTIONS} --scale 3 --minutes 600\n")
    call = ("run", tmp_path / "data", "--plan", plan)
    first = script(*call, "--stop-after", 0.15, "--out", tmp_path / "back1", "--work", tmp_path / "work1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["one: unfinished", "two: not begun"]
    carried = ("--carried", tmp_path / "back1")
    second = script(*call, "--stop-after", 0.4, "--out", tmp_path / "back2", "--work", tmp_path / "work2", *carried)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines() == ["one: finished", "two: unfinished"]
    assert "4 images, 1 to validate by" in second.stderr
    assert sorted(path.name for path in (tmp_path / "back2").iterdir()) == ["one.tar.00", "two.tar.00"]
    assert load_weights(tmp_path / "work2" / "one" / "weights.safetensors")[1].name == "nano-x2"


@pytest.mark.parametrize(
    ("plan", "words"),
    [("no name\n", "Write NAME: OPTIONS"), ("a: --model nano\na: --model tiny\n", "each name once")],
)
def test_plans_that_are_none(tmp_path: Path, plan: str, words: str) -> None:
    (tmp_path / "plan.txt").write_text(plan)
    done = script("run", tmp_path, "--plan", tmp_path / "plan.txt", "--out", tmp_path / "out", "--work", tmp_path / "w")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
