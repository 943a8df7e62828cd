"""A run opened, started, resumed and written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from lipt_stream.errors import InputError, OutputError, SettingsError, WeightsError
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import load_weights
from lipt_stream.train.checkpoint import Checkpoint
from lipt_stream.train.materials import Folders, Materials, load_materials
from lipt_stream.train.run import _has_bfloat16, make_trainer, open_run, read_origins, train
from lipt_stream.train.spec import TrainSpec

CPU = torch.device("cpu")
SPEC = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16)
WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


def materials(spec: TrainSpec, photos: Path, out: Path, valid: Path | None = None) -> Materials:
    return load_materials(spec, Folders([photos], valid, out, out / "pairs"), CPU)


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def opened(out: Path, *, resume: bool = False) -> Checkpoint | None:
    """Where the run stands, closed again."""
    with open_run(SPEC, out, resume=resume) as checkpoint:
        return checkpoint


def test_only_pairs_may_be_there_before_a_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert opened(out) is None
    (out / "pairs").mkdir()
    assert opened(out) is None
    (out / "log.jsonl").touch()  # of a try whose first checkpoint found no room
    (out / "checkpoint.pt.part").touch()
    (out / "degraded").mkdir()
    (out / "degraded" / "CACHEDIR.TAG").touch()  # where --pairs lies in the run's folder under a name of its own
    assert opened(out) is None
    (out / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"is not empty. Choose another --out"):
        opened(out)
    with pytest.raises(InputError, match=r"No run is in .*out. Train without --resume to begin"):
        opened(out, resume=True)
    with pytest.raises(OutputError, match="Cannot use the folder"):
        opened(out / "notes.txt" / "run")
    with pytest.raises(InputError, match="No run is in"):
        opened(tmp_path / "never", resume=True)
    assert not (tmp_path / "never").exists()


def test_a_checkpoint_is_gone_on_with_or_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"none")
    with pytest.raises(OutputError, match=r"holds a run already. Go on with it by --resume"):
        opened(tmp_path)
    with pytest.raises(InputError, match=r"checkpoint\.pt is damaged"):
        opened(tmp_path, resume=True)
    (tmp_path / "checkpoint.pt").unlink()
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(InputError, match=r"Cannot read .*: Is a directory. Check the file"):
        opened(tmp_path, resume=True)


HOLD = """
import sys
from pathlib import Path
from lipt_stream.train.files import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_one_run_at_a_time_is_at_work_in_a_folder(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(OutputError, match=r"Another run is at work in .*Wait for its end"):
        opened(tmp_path)
    other.kill()
    other.communicate()
    assert opened(tmp_path) is None


def test_the_seed_decides_the_start(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    before = torch.get_rng_state()
    one, same = (make_trainer(SPEC, found, tmp_path, device=CPU) for _ in range(2))
    other = make_trainer(TrainSpec("nano", patch=8, tail_patch=16, seed=1), found, tmp_path, device=CPU)
    assert torch.equal(one.model.head.weight, same.model.head.weight)
    assert not torch.equal(one.model.head.weight, other.model.head.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_starting_from_weights_and_with_a_teacher(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    nano, tiny = WEIGHTS / "nano-x2.safetensors", WEIGHTS / "tiny-x2.safetensors"
    started = make_trainer(SPEC, found, tmp_path, device=CPU, origins=read_origins(SPEC, nano, tiny, resumes=False))
    assert torch.equal(started.model.head.weight, load_weights(nano)[0].head.weight)
    list(started.run(lambda: started.step >= 1))
    without_start = read_origins(SPEC, tmp_path / "gone", tiny, resumes=True)
    checkpoint = opened(tmp_path, resume=True)
    gone_on = make_trainer(SPEC, found, tmp_path, device=CPU, origins=without_start, checkpoint=checkpoint)
    assert gone_on.step == 1  # what it began with is not needed any more
    three = TrainSpec("nano", scale=3, patch=8, tail_patch=16)
    origins = read_origins(three, nano, None, resumes=False)
    assert make_trainer(three, found, tmp_path, device=CPU, origins=origins).model.config.scale == 3


def test_the_seed_decides_what_a_larger_network_adds() -> None:
    nano, spec = WEIGHTS / "nano-x2.safetensors", TrainSpec("tiny24", patch=8, tail_patch=16, seed=3)
    before = torch.get_rng_state()
    one, same, other = (
        cast("LIPT", read_origins(given, nano, None, resumes=False).start).head.weight
        for given in (spec, spec, replace(spec, seed=4))
    )
    assert torch.equal(one, same)
    assert torch.equal(one[:16], other[:16])
    assert not torch.equal(one[16:], other[16:])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_run_that_goes_on_does_not_wait_for_a_pipe_that_it_would_start_from(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_origins(SPEC, tmp_path / "pipe", None, resumes=True).digests["start"] == ""


def test_what_no_run_can_begin_with(tmp_path: Path) -> None:
    """Said before any image is read."""
    tiny, three = WEIGHTS / "tiny-x2.safetensors", TrainSpec("nano", scale=3, patch=8, tail_patch=16)
    with pytest.raises(WeightsError, match="channels 32 for at most 16"):
        read_origins(SPEC, tiny, None, resumes=False)
    with pytest.raises(WeightsError, match="Cannot read weights"):
        read_origins(SPEC, tmp_path / "gone", None, resumes=False)
    with pytest.raises(SettingsError, match="is for sr of video pictures, and this run for sr of clean ones"):
        read_origins(SPEC, None, WEIGHTS / "tiny-x2-video.safetensors", resumes=False)
    tiny_run = TrainSpec("tiny", patch=8, tail_patch=16)
    for name in ("nano", "tiny"):
        with pytest.raises(SettingsError, match=f"{name}-x2.safetensors is no larger than tiny, and cannot teach it"):
            read_origins(tiny_run, None, WEIGHTS / f"{name}-x2.safetensors", resumes=False)
    with pytest.raises(SettingsError, match="enlarges x2, and this run x3"):
        read_origins(three, None, tiny, resumes=False)
    with pytest.raises(WeightsError, match="Cannot read weights"):
        read_origins(SPEC, None, tmp_path / "gone", resumes=True)


def test_a_run_is_resumed_with_its_own_images_teacher_and_precision(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = materials(SPEC, photos, out)
    opened(out)
    list(make_trainer(SPEC, found, out, device=CPU, precision="float32").run(lambda: True))
    resumed = opened(out, resume=True)
    assert resumed
    make_trainer(SPEC, found, out, device=CPU, precision="float32", checkpoint=resumed)
    tiny = WEIGHTS / "tiny-x2.safetensors"
    taught = read_origins(SPEC, None, tiny, resumes=True)
    with pytest.raises(SettingsError, match="with no teacher and the precision float32"):
        make_trainer(SPEC, found, out, device=CPU, precision="bfloat16", origins=taught, checkpoint=resumed)
    Image.fromarray(noise(70, 70, 3)).save(photos / "e.png")
    others = materials(SPEC, photos, out)
    with pytest.raises(SettingsError, match="with other training images"):
        make_trainer(SPEC, others, out, device=CPU, precision="float32", checkpoint=resumed)
    started = read_origins(SPEC, tiny, None, resumes=True)
    with pytest.raises(SettingsError, match="with the usual start"):
        make_trainer(SPEC, found, out, device=CPU, precision="float32", origins=started, checkpoint=resumed)
    elsewhere = replace(resumed, device="cuda", generator=torch.zeros(16, dtype=torch.uint8))
    make_trainer(SPEC, found, out, device=CPU, precision="bfloat16", checkpoint=elsewhere)


def test_damaged_lines_of_a_log_are_forgotten(photos: Path, tmp_path: Path) -> None:
    trainer = make_trainer(SPEC, materials(SPEC, photos, tmp_path), tmp_path, device=CPU)
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 0}\n{"step"}\n\xff\xfe}\n[]\n{"step": 1}\n{"step": 0}')
    list(train(trainer, lambda: True))
    assert log.read_text() == '{"step": 0}\n'


def test_a_log_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    trainer = make_trainer(SPEC, materials(SPEC, photos, tmp_path), tmp_path, device=CPU)
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"Cannot write .*log\.jsonl: Is a directory"):
        list(train(trainer, lambda: True))


def test_the_precision_is_that_of_the_gpu_that_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not of the one that torch uses where nobody names one: here the second of two is too old for bfloat16."""
    generations = [9, 7]

    def properties(device: torch.device | int) -> SimpleNamespace:
        number = device.index if isinstance(device, torch.device) else device
        return SimpleNamespace(major=generations[number], minor=0)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    assert [_has_bfloat16(torch.device("cuda", number)) for number in (0, 1)] == [True, False]
