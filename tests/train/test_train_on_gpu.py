"""scripts/train_on_gpu as it is used: prepared here, trained in two calls, the second from what the first sent back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lipt_stream.model.weights import load_weights

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_on_gpu"
OPTIONS = "--model nano --batch 2 --patch 8 --tail-patch 16 --threads 1 --device cpu"

SLOW_TRAIN = """
import sys, time
from pathlib import Path
place = Path(sys.argv[sys.argv.index("--out") + 1])
place.mkdir()
(place / "log.jsonl").touch()
time.sleep(600)
"""


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False
    )


def test_two_calls_on_two_machines(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-09.tar").write_text("of an earlier call")
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data", "--mb", 60)
    assert prepared.returncode == 0, prepared.stderr
    assert "3 of 3 images, 1 to validate by" in prepared.stdout
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
    assert "3 images, 1 to validate by" in second.stderr  # what is validated by is not trained on
    assert sorted(path.name for path in (tmp_path / "back2").iterdir()) == ["one.tar.0-of-1", "two.tar.0-of-1"]
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


def test_a_piece_that_is_missing(photos: Path, tmp_path: Path) -> None:
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data")
    assert prepared.returncode == 0, prepared.stderr
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "nano-x2.tar.1-of-2").touch()
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--carried", carried)
    done = script("run", tmp_path / "data", *places, *OPTIONS.split())
    assert done.returncode == 1
    assert done.stderr == f"error: {carried} lacks nano-x2.tar.0-of-2. Carry all pieces of a run, or none\n"


def test_a_run_that_is_past_its_time_is_killed_and_kept(photos: Path, tmp_path: Path) -> None:
    """As where a step compiles for minutes: the machine would end the call, and all of it would be lost."""
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data")
    assert prepared.returncode == 0, prepared.stderr
    slow = (
        f"import runpy, sys, time; sys.argv = sys.argv[1:]; module = runpy.run_path(sys.argv[0]);"
        f"module['main'].__globals__.update(GRACE_SECONDS=0, TRAIN={SLOW_TRAIN!r}); module['main']()"
    )
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--stop-after", "0.05")
    command = [sys.executable, "-c", slow, SCRIPT, "run", tmp_path / "data", *places, *OPTIONS.split()]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "nano-x2: unfinished\n"
    assert "past its time" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["nano-x2.tar.0-of-1"]
