"""scripts/train_on_gpu as it is used: prepared here, trained in two calls, the second from what the first sent back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gpu_script import MODULE, OPTIONS, SCRIPT, in_this_process, prepared, script
from PIL import Image

from lipt_stream.errors import LiptError
from lipt_stream.model.weights import load_weights

WITHOUT_PYAV = """
import sys
sys.modules["av"] = None
import lipt_stream.train.materials
lipt_stream.train.materials._workers = lambda: 1
"""

SLOW_TRAIN = """
import sys, time
from pathlib import Path
place = Path(sys.argv[sys.argv.index("--out") + 1])
place.mkdir()
(place / "log.jsonl").touch()
%s
time.sleep(600)
"""


def test_two_calls_on_two_machines(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-09-of-10.tgz").write_text("of an earlier call")
    (tmp_path / "data" / "mine.tgz").write_text("of somebody else")
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data", "--mb", 60)
    assert prepared.returncode == 0, prepared.stderr
    assert "3 of 3 images, 1 to validate by" in prepared.stdout
    assert (tmp_path / "data" / "mine.tgz").exists()
    plan = tmp_path / "plan.txt"
    plan.write_text(f"# two runs\none: {OPTIONS} --scale 2 --minutes 0.15\ntwo: {OPTIONS} --scale 3 --minutes 600\n")
    call = ("run", tmp_path / "data", "--plan", plan)
    first = script(*call, "--stop-after", 0.1, "--out", tmp_path / "back1", "--work", tmp_path / "work1")
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines() == ["one: unfinished", "two: not begun"]
    carried = ("--carried", tmp_path / "back1")
    second = script(*call, "--stop-after", 0.3, "--out", tmp_path / "back2", "--work", tmp_path / "work2", *carried)
    assert second.returncode == 0, second.stderr
    assert second.stdout.splitlines() == ["one: finished", "two: unfinished"]
    assert "3 images, 1 to validate by" in second.stderr  # what is validated by is not trained on
    assert sorted(path.name for path in (tmp_path / "back2").iterdir()) == ["one.tgz.0-of-1", "two.tgz.0-of-1"]
    assert load_weights(tmp_path / "work2" / "one" / "weights.safetensors")[1].name == "nano-x2"


@pytest.mark.gpu
def test_a_call_on_a_gpu(photos: Path, tmp_path: Path) -> None:
    """As `train` chooses there: compiled, in bfloat16. On a CPU the tests around this one are the same."""
    prepared = script("prepare", "--data", photos, "--valid", photos / "more", "--out", tmp_path / "data")
    assert prepared.returncode == 0, prepared.stderr
    options = (*OPTIONS.replace("--device cpu", "--device cuda").split(), "--minutes", "0.05")
    places = ("--out", tmp_path / "back", "--work", tmp_path / "work")
    done = script("run", tmp_path / "data", *places, "--stop-after", "3", *options)
    assert done.stdout == "nano-x2: finished\n", done.stderr
    assert "3 images, 1 to validate by, on cuda:0" in done.stderr
    assert "Warning" not in done.stderr
    state = torch.load(tmp_path / "work" / "nano-x2" / "checkpoint.pt", weights_only=True)
    assert (state["device"], state["surroundings"]["precision"]) == ("cuda", "bfloat16")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["nano-x2.tgz.0-of-1"]


def test_a_finished_run_is_not_taken_for_another_of_its_name(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run(minutes: str) -> tuple[int, str, str]:
        places = ("--out", tmp_path / "back", "--work", tmp_path / "work")
        words = ("run", tmp_path / "data", *places, *OPTIONS.split(), "--minutes", minutes)
        return in_this_process(monkeypatch, *words), *capfd.readouterr()

    prepared(monkeypatch, photos, tmp_path / "data")
    capfd.readouterr()
    code, out, said = run("0.01")
    assert (code, out) == (0, "nano-x2: finished\n"), said
    code, _, said = run("0.04")
    assert code == 1
    assert "error: nano-x2 is finished, with --model nano" in said
    assert "Give another run another name" in said
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["nano-x2.tgz.0-of-1"]
    finished = tmp_path / "work" / "nano-x2" / "finished"
    finished.write_text(finished.read_text()[:-1] + "-")
    code, _, said = run("0.01")
    assert code == 1
    assert "error: nano-x2 is finished, with other images" in said
    finished.unlink()  # as where it was killed while its weights were written
    (tmp_path / "work" / "nano-x2" / "weights.safetensors").unlink()
    code, out, said = run("0.01")
    assert (code, out) == (0, "nano-x2: finished\n"), said
    assert (tmp_path / "work" / "nano-x2" / "weights.safetensors").exists()
    finished.unlink()
    checkpoint = tmp_path / "work" / "nano-x2" / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    (tmp_path / "work" / "nano-x2" / "weights.safetensors").touch()
    code, out, said = run("0.01")
    assert (code, out) == (1, "nano-x2: unfinished\n")
    assert "checkpoint.pt is damaged" in said
    assert "Traceback" not in said


def test_degraded_pairs_of_images_of_one_name(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """They lie in one folder on the machine, where names must not meet, and are found without PyAV."""
    (photos / "other").mkdir()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (70, 70, 3), np.uint8)).save(photos / "other" / "a.png")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # no processes for four small pictures
    prepared(monkeypatch, photos, tmp_path / "data", "--pairs", 2)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "pairs-00-of-01.tgz",
        "train-00-of-01.tgz",
        "valid-00-of-01.tgz",
    ]
    # In the process that trains, and without others, which would have PyAV.
    monkeypatch.setitem(MODULE["main"].__globals__, "TRAIN", WITHOUT_PYAV + MODULE["TRAIN"])
    places = ("--out", tmp_path / "back", "--work", tmp_path / "work", "--minutes", 0.02)
    capfd.readouterr()
    in_this_process(monkeypatch, "run", tmp_path / "data", *places, *OPTIONS.split(), "--degrade", "video")
    out, errors = capfd.readouterr()
    assert out == "nano-x2-video: finished\n", errors
    assert "4 images, 1 to validate by" in errors
    assert "left out" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_a_signal_to_all_of_it_ends_a_call_in_order(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from `timeout` or a container, which tell the group: what trains must be told once, or it would be killed."""
    prepared(monkeypatch, photos, tmp_path / "data")
    places = ("--out", tmp_path / "back", "--work", tmp_path / "work")
    command = [sys.executable, SCRIPT, "run", tmp_path / "data", *places, *OPTIONS.split(), "--minutes", "60"]
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log = tmp_path / "work" / "nano-x2" / "log.jsonl"
    until = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 143, errors
    assert output == "nano-x2: unfinished\n"
    assert "stopped, go on with --resume" in errors
    assert (tmp_path / "back" / "nano-x2.tgz.0-of-1").exists()


@pytest.mark.parametrize(
    ("plan", "words", "code"),
    [
        ("no name\n", "Write NAME: OPTIONS", 1),
        ("a: --model nano\na: --model tiny\n", "each name once", 1),
        ("a/b: --model nano\n", "without /", 1),
        ("..: --model nano\n", "without /", 1),
        (": --model nano\n", "without /", 1),
        ("# all of it is done\n", "has no run. Write NAME: OPTIONS", 1),
        ("a: --model nano\nb: --model nanu\n", "No network is called 'nanu'", 2),
        ("a: --model 'nano\n", "Close the quotation", 1),
        ("a: --model nano\nb: --modell nano\n", "--modell nano is no run: No such option", 1),
        ("a: --batch zero\n", "--batch zero is no run: Invalid value for '--batch'", 1),
        ("a: --scale 0\n", "--scale 0 is none of 1, 2, 3 and 4", 2),
        ("a: --patch 60\n", "--patch 60 is no multiple of the window", 2),
        ("a: --model nano --out=there\n", "--out=there is for train_on_gpu to give", 1),
    ],
)
def test_plans_that_are_none(tmp_path: Path, plan: str, words: str, code: int) -> None:
    (tmp_path / "plan.txt").write_text(plan)
    with pytest.raises(LiptError) as caught:
        MODULE["read_plan"](tmp_path / "plan.txt")
    assert words in str(caught.value)
    assert caught.value.exit_code == code


def test_only_a_number_sign_of_its_own_begins_a_comment(tmp_path: Path) -> None:
    (tmp_path / "plan.txt").write_text("# a: b\na: --licence CC-BY#4 --model nano  # --model tiny\n")
    assert MODULE["read_plan"](tmp_path / "plan.txt") == {"a": ["--licence", "CC-BY#4", "--model", "nano"]}


@pytest.mark.parametrize(
    ("option", "words"), [("--init nowhere.safetensors", "nowhere.safetensors"), ("--device tpu", "tpu")]
)
def test_what_the_last_run_lacks_is_said_before_the_first_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str, words: str
) -> None:
    work = tmp_path / "work"
    plan = tmp_path / "plan.txt"
    plan.write_text(f"a: --model nano\nb: --model nano --init {work}/a/weights.safetensors\nc: --model nano {option}\n")
    assert in_this_process(monkeypatch, "run", tmp_path, "--plan", plan, "--out", tmp_path / "out", "--work", work)
    assert words in capsys.readouterr().err
    assert list(work.iterdir()) == []


def test_pieces_of_a_run_that_would_begin_anew_are_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "nano-x2.tgz.0-of-1").write_text("hours of work")
    places = ("--out", out, "--work", tmp_path / "work")
    assert in_this_process(monkeypatch, "run", tmp_path, *places, *OPTIONS.split()) == 1
    assert f"{out} holds nano-x2, and it would begin anew. Name it by --carried" in capsys.readouterr().err
    assert (out / "nano-x2.tgz.0-of-1").read_text() == "hours of work"


def test_a_plan_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "plan.txt").write_bytes("a: --model nano  # größer".encode("latin-1"))
    with pytest.raises(LiptError, match=r"plan\.txt is no text in UTF-8"):
        MODULE["read_plan"](tmp_path / "plan.txt")


def test_options_and_places_that_are_mistyped_train_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.txt"
    plan.write_text("a: --model nano\n")
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    for words, code, said in (
        (("--plan", plan, "--carred", tmp_path), 2, "run knows no --carred"),
        (("--plan", plan, "--carried", tmp_path / "nowhere"), 1, "nowhere is no folder"),
        (("--modell", "nano"), 1, "No such option"),
        (("--plan", plan, "--stop-after", 0), 2, "--stop-after 0.0 leaves no time"),
    ):
        assert in_this_process(monkeypatch, "run", tmp_path, *places, *words) == code
        assert said in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_a_run_of_which_nothing_was_carried_says_that_it_begins_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared(monkeypatch, photos, tmp_path / "data")
    (tmp_path / "carried").mkdir()
    places = ("--out", tmp_path / "back", "--work", tmp_path / "work", "--carried", tmp_path / "carried")
    in_this_process(monkeypatch, "run", tmp_path / "data", *places, *OPTIONS.split(), "--stop-after", 0.001)
    assert f"nano-x2: nothing of it is in {tmp_path / 'carried'}, it begins anew" in capfd.readouterr().err


def test_a_piece_that_is_missing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared(monkeypatch, photos, tmp_path / "data")
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "nano-x2.tgz.1-of-2").touch()
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--carried", carried)
    capfd.readouterr()
    assert in_this_process(monkeypatch, "run", tmp_path / "data", *places, *OPTIONS.split()) == 1
    said = capfd.readouterr().err
    assert said == f"error: {carried} lacks nano-x2.tgz.0-of-2. Carry all pieces of a run, or none\n"


def test_damaged_pieces_and_shards(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared(monkeypatch, photos, tmp_path / "data")
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "nano-x2.tgz.0-of-1").write_bytes(b"none")
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--carried", carried)
    assert in_this_process(monkeypatch, "run", tmp_path / "data", *places, *OPTIONS.split()) == 1
    assert "error: nano-x2.tgz is damaged" in capfd.readouterr().err
    (tmp_path / "data" / "train-00-of-01.tgz").write_bytes(b"none")
    assert in_this_process(monkeypatch, "run", tmp_path / "data", *places[:-2], *OPTIONS.split()) == 1
    assert "error: train-00-of-01.tgz is damaged" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("begun", "code", "words"),
    [
        ("(place / 'checkpoint.pt').touch()", 0, "its checkpoint is kept"),
        ("", 1, "it has no checkpoint yet: give a longer --stop-after"),
    ],
    ids=["begun", "not begun"],
)
def test_a_run_that_is_past_its_time_is_killed_and_kept(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    begun: str,
    code: int,
    words: str,
) -> None:
    """As where a step compiles for minutes: the machine would end the call, and all of it would be lost."""
    prepared(monkeypatch, photos, tmp_path / "data")
    capfd.readouterr()
    for name, value in (("GRACE_SECONDS", 0), ("TRAIN", SLOW_TRAIN % begun)):
        monkeypatch.setitem(MODULE["main"].__globals__, name, value)
    places = ("--out", tmp_path / "out", "--work", tmp_path / "work", "--stop-after", "0.05")
    assert in_this_process(monkeypatch, "run", tmp_path / "data", *places, *OPTIONS.split()) == code
    out, said = capfd.readouterr()
    assert out == "nano-x2: unfinished\n", said
    assert f"past its time: killed, and {words}" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["nano-x2.tgz.0-of-1"]
