"""`lipt-stream train` in a process of its own: done, stopped, killed, resumed, refused."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lipt_stream.cli import train as train_module
from lipt_stream.cli.train import train_network
from lipt_stream.cli.train_pictures import draw_curves, draw_stills
from lipt_stream.errors import InputError, OutputError, TrainingError
from lipt_stream.model.weights import load_weights
from lipt_stream.train.loop import Progress
from lipt_stream.train.materials import Folders, load_materials
from lipt_stream.train.run import LOG, make_trainer, train
from lipt_stream.train.spec import TrainSpec
from tests.program import run_program

PROGRAM = [sys.executable, "-W", "error", "-m", "lipt_stream", "train"]
SMALL = ["--model", "nano", "--batch", "2", "--patch", "8", "--tail-patch", "16", "--device", "cpu", "--threads", "1"]
ENDLESS = [*SMALL, "--minutes", "600"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[:70, :60]
    for number in range(3):
        gray = 120 + 60 * np.sin(x / (4 + number)) * np.cos(y / 7)
        Image.fromarray(np.stack([gray, gray * 0.9, gray + 10], axis=2).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def command(photos: Path, out: Path, *arguments: str | Path) -> list[str]:
    return [*PROGRAM, "--data", str(photos), "--out", str(out), *map(str, arguments)]


def run(photos: Path, out: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_program("train", "--data", photos, "--out", out, *arguments)


def test_what_tells_no_network_from_another_is_said(photos: Path, tmp_path: Path) -> None:
    """A sky comes out as well as counts from the start on, and what was learnt is not thrown away for that."""
    (tmp_path / "valid").mkdir()
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save(tmp_path / "valid" / "sky.png")
    done = run(photos, tmp_path / "run", *SMALL, "--minutes", "0.02", "--valid", tmp_path / "valid")
    assert done.returncode == 0, done.stderr
    assert "45.000 dB on the validation images, the most that counts, on each: these tell no network" in done.stderr


def start_and_wait(photos: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run that has written its first checkpoint."""
    process = subprocess.Popen(command(photos, out, *arguments), stderr=subprocess.PIPE, text=True)
    for _ in range(2400):
        if (out / "checkpoint.pt").exists() or process.poll() is not None:
            return process
        time.sleep(0.05)
    raise AssertionError("no checkpoint after two minutes")


def steps_logged(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().split("\n")[:-1]]


def wait_for_step(process: subprocess.Popen[str], out: Path, least: int) -> None:
    for _ in range(2400):
        if process.poll() is not None or max(steps_logged(out), default=0) >= least:
            return
        time.sleep(0.05)
    raise AssertionError(f"not at step {least} after two minutes")


def step_in(out: Path) -> int:
    return torch.load(out / "checkpoint.pt", weights_only=True)["step"]


def go_on_and_stop(photos: Path, out: Path) -> None:
    """Resumes a run, and stops it some steps behind all that it ever told."""
    told = max([step_in(out), *steps_logged(out)])
    process = subprocess.Popen(command(photos, out, *ENDLESS, "--resume"), stderr=subprocess.PIPE, text=True)
    wait_for_step(process, out, told + 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors


def test_a_whole_run(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(photos, out, *SMALL, "--minutes", "0.05")
    assert done.returncode == 0, done.stderr
    assert "2 images, 1 to validate by, on cpu" in done.stderr
    assert "done: " in done.stderr
    assert {path.name for path in out.iterdir()} == {
        "checkpoint.pt", "curves.png", "log.jsonl", "stills.png", "weights.safetensors",
    }  # fmt: skip
    network, info = load_weights(out / "weights.safetensors")
    assert network.deployed
    assert info.training_data == f"2 images, from {photos.name}"
    assert info.scores["validation"] > 10
    last = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert last["psnr_y"] is not None
    assert last["step"] == step_in(out)
    again = run(photos, out, *SMALL, "--minutes", "0.05", "--resume", "--quiet")
    assert (again.returncode, again.stderr) == (0, "")  # nothing is left to do, and its results are written again


def test_pictures_of_a_run_that_has_hardly_begun(photos: Path, tmp_path: Path) -> None:
    spec = TrainSpec("nano", batch=2, patch=8, tail_patch=16)
    cpu = torch.device("cpu")
    found = load_materials(spec, Folders([photos], None, tmp_path, tmp_path / "pairs"), cpu)
    trainer = make_trainer(spec, found, tmp_path, device=cpu)
    assert list(train(trainer, lambda: True)) == []
    draw_curves(tmp_path / LOG, tmp_path / "curves.png")
    draw_stills(trainer.result(), found.validation, tmp_path / "stills.png", cpu)
    for name in ("curves.png", "stills.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 100
    with pytest.raises(OutputError, match="Cannot write"):
        draw_stills(trainer.result(), found.validation, tmp_path / "missing" / "stills.png", cpu)


def test_a_signal_ends_it_with_a_checkpoint_and_it_goes_on(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start_and_wait(photos, out, *ENDLESS)
    wait_for_step(process, out, 1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "stopping: finishing the step, and writing the checkpoint" in errors
    assert "stopped, go on with --resume" in errors
    assert "Traceback" not in errors
    before = step_in(out)
    assert before > 0
    assert (out / "weights.safetensors").is_file()
    go_on_and_stop(photos, out)
    assert step_in(out) > before


def test_a_killed_run_goes_on(photos: Path, tmp_path: Path) -> None:
    """At a random moment, perhaps while a checkpoint is written: one is there, and it is whole."""
    out = tmp_path / "run"
    process = start_and_wait(photos, out, *ENDLESS)
    time.sleep(random.uniform(0, 1.5))
    process.kill()
    process.communicate(timeout=60)
    before = step_in(out)
    go_on_and_stop(photos, out)
    assert step_in(out) > before
    lines = steps_logged(out)
    assert lines == sorted(set(lines))


def test_what_is_refused_in_one_line(photos: Path, tmp_path: Path) -> None:
    empty, out = tmp_path / "empty", tmp_path / "run"
    empty.mkdir()
    assert run(photos, out, *ENDLESS, "--stop-after", "0.02", "-q").returncode == 0
    other = [*SMALL, "--minutes", "9"]
    for folder, place, arguments, code, words in (
        (photos, out, ENDLESS, 1, "holds a run already. Go on with it by --resume"),
        (photos, out, [*other, "--resume"], 2, "is of another run: minutes 9.0 is 600.0 there"),
        (photos, tmp_path / "new", [*ENDLESS, "--resume"], 1, "Train without --resume to begin"),
        (empty, tmp_path / "new2", ENDLESS, 1, "holds no image"),
        (photos, tmp_path / "new3", [*ENDLESS, "--degrade", "vidio"], 2, "--degrade vidio is none of bicubic, video"),
        (photos, tmp_path / "new5", [*ENDLESS, "--scale", "0"], 2, "--scale 0 is none of 1, 2, 3 and 4"),
        (photos, tmp_path / "new6", [*ENDLESS, "--threads", "0"], 2, "--threads 0 is not from 1 to 1024"),
        (photos, tmp_path / "new7", [*ENDLESS, "--distill-weight", "0.5"], 2, "--distill-weight 0.5 teaches nothing"),
        (photos, tmp_path / "new7", [*ENDLESS, "--distill-ensemble"], 2, "--distill-ensemble has no teacher"),
        (photos, tmp_path / "new8", [*ENDLESS, "--stop-after", "nan"], 2, "--stop-after nan leaves no time"),
        (photos, tmp_path / "new9", [*ENDLESS, "--pairs", str(tmp_path)], 2, "would not be used"),
        (photos, tmp_path / "new4", [*ENDLESS, "--init", str(tmp_path / "none")], 1, "Cannot read weights"),
    ):
        done = run(folder, place, *arguments)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert words in errors[0]


def with_little_room() -> None:
    """As on a full disk, for each file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_torchs_advice_to_round_merged_kernels_is_not_shown(tmp_path: Path) -> None:
    """Its compiler gives it on each GPU that could: they are multiplied in float32, and in all of its bits."""
    with pytest.raises(InputError):
        train_network([tmp_path / "none"], tmp_path / "out", device="cpu")
    warnings.warn("TensorFloat32 tensor cores for float32 matrix multiplication available", stacklevel=1)
    with pytest.raises(UserWarning):
        warnings.warn("another", stacklevel=1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows limits no files")
def test_a_full_disk_is_one_line_and_the_folder_can_be_used_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run_program("train", "--data", photos, "--out", out, *ENDLESS, before=with_little_room)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        f"error: Cannot write the checkpoint {out / 'checkpoint.pt'}: File too large. Check the folder and its space"
    ]
    assert "Traceback" not in done.stderr
    assert run(photos, out, *ENDLESS, "--stop-after", "0.02", "-q").returncode == 0


def test_a_loss_that_is_no_number_and_a_full_disk_are_both_told(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*_: object) -> Iterator[Progress]:
        raise TrainingError("The loss is nan at step 7", "Start anew")
        yield

    def fail(*_: object, **__: object) -> None:
        raise OutputError("Cannot write weights.safetensors: No space left on device", "Make room")

    monkeypatch.setattr(train_module, "train", diverge)
    monkeypatch.setattr(train_module, "write_weights", fail)
    with pytest.raises(TrainingError) as raised:
        train_network(
            [photos], tmp_path / "run", model="nano", batch=2, patch=8, tail_patch=16, device="cpu", quiet=True
        )
    assert str(raised.value) == (
        "The loss is nan at step 7, and its results are not written: "
        "Cannot write weights.safetensors: No space left on device. Make room. Start anew"
    )


FULL_AT_BATCH_32 = """
import sys, torch
from lipt_stream.train.loop import Trainer
gradient = Trainer._gradient
def full(self, *arguments):
    if self.spec.batch == 32:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return gradient(self, *arguments)
Trainer._gradient = full
sys.argv[0] = "lipt-stream"
from lipt_stream.cli.main import main
main()
"""


def test_a_run_that_does_not_fit_can_be_begun_again_as_its_error_says(photos: Path, tmp_path: Path) -> None:
    arguments = command(photos, tmp_path / "run", *ENDLESS, "--stop-after", "0.02", "-q")[len(PROGRAM) :]
    large, small = (
        subprocess.run(
            [sys.executable, "-c", FULL_AT_BATCH_32, "train", *arguments, "--batch", batch],
            capture_output=True, text=True, timeout=240, check=False,
        )
        for batch in ("32", "2")
    )  # fmt: skip
    assert large.returncode == 1
    assert "Out of memory while training" in large.stderr
    assert "Use a smaller --batch" in large.stderr
    assert (small.returncode, small.stderr) == (0, "")


@pytest.mark.parametrize("task", ["deblock", "denoise"])
def test_the_task_brings_its_scale_and_its_pictures(photos: Path, tmp_path: Path, task: str) -> None:
    done = run(photos, tmp_path / "run", *ENDLESS, "--task", task, "--stop-after", "0.02", "-q")
    assert done.returncode == 0, done.stderr
    info = load_weights(tmp_path / "run" / "weights.safetensors")[1]
    assert (info.name, info.scale, info.task) == (f"nano-x1-{task}", 1, task)


NAN_AT_STEP_3 = """
import sys, torch
from lipt_stream.train import batches
draw, drawn = batches.BicubicBatches.draw, []
def spoilt(self, *arguments):
    drawn.append(1)
    low, high = draw(self, *arguments)
    return batches.Batch(low * torch.nan if len(drawn) == 2 + 3 else low, high)  # two try the shapes
batches.BicubicBatches.draw = spoilt
sys.argv[0] = "lipt-stream"
from lipt_stream.cli.main import main
main()
"""


def test_a_loss_that_is_no_number_keeps_the_last_good_weights(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = command(photos, out, *ENDLESS)[len(PROGRAM) :]
    done = subprocess.run(
        [sys.executable, "-c", NAN_AT_STEP_3, "train", *arguments],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: The loss is nan at step 3. Nothing was learnt before it")
    network, _ = load_weights(out / "weights.safetensors")  # which refuses what is not finite
    assert network.config.scale == 2


def test_bicubic_trains_without_pyav(photos: Path, tmp_path: Path) -> None:
    """A GPU machine to which nothing but images was carried may lack it."""
    program = (
        "import sys; sys.modules['av'] = None; import typer; from lipt_stream.cli.train import train_network;"
        "typer.run(train_network)"
    )
    arguments = command(photos, tmp_path / "run", *ENDLESS, "--stop-after", "0.03")[len(PROGRAM) :]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
