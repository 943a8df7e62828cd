"""The loop: resumed bit for bit, stopped by numbers that are not finite, its checkpoint whole whatever happens."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from lipt_stream.errors import InputError, OutputError, SettingsError, TrainingError
from lipt_stream.model.lipt import deploy
from lipt_stream.model.weights import load_weights
from lipt_stream.train import loop, run
from lipt_stream.train.checkpoint import FILE, load_checkpoint
from lipt_stream.train.loop import Trainer
from lipt_stream.train.spec import TrainSpec

MakeTrainer = Callable[..., Trainer]  # the fixture of conftest.py


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Everything that decides how a run goes on, as tensors by name."""
    moments = {
        f"optimizer.{number}.{name}": value
        for number, state in trainer.optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    return (
        {f"model.{name}": value for name, value in trainer.model.state_dict().items()}
        | {f"average.{name}": value for name, value in trainer.average.state_dict().items()}
        | {f"result.{name}": value for name, value in trainer.result().state_dict().items()}
        | moments
        | {
            "generator": trainer.generator.get_state(),
            "clock": torch.tensor([trainer.step, trainer.seconds, trainer.best_psnr or 0], dtype=torch.float64),
        }
    )


def assert_same(one: Trainer, other: Trainer) -> None:
    ours, theirs = state_of(one), state_of(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def train_until(trainer: Trainer, step: int) -> None:
    """As the command does it, stopped as by a signal once `step` is done."""
    for _ in run.train(trainer, lambda: trainer.step >= step):
        pass


def log_of(trainer: Trainer) -> str:
    return (trainer.out / run.LOG).read_text()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks, checkpoints and validations at a pace at which a short run meets all of them."""
    monkeypatch.setattr(loop, "LOOK_EVERY", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 2.0)
    monkeypatch.setattr(loop, "VALIDATION_SECONDS", 3.0)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("stops", [(7,), (10, 11, 23), (26, 27)], ids=str)
def test_a_resumed_run_is_the_run_that_never_stopped(make_trainer: MakeTrainer, stops: tuple[int, ...]) -> None:
    """Weights, average, optimizer, generator and every line of the log; across the change to the last phase too."""
    # 28 steps and two validations in 30 ticks of the clock; 4 or 5 of the steps are the tail.
    spec = TrainSpec("nano", minutes=0.125, batch=2, patch=8, tail_patch=16)
    whole = make_trainer("whole", spec=spec)
    train_until(whole, 10**6)
    assert whole.finished
    assert whole.step == 28
    for stop in stops:
        part = make_trainer("parts", spec=spec)
        if (part.out / FILE).exists():
            part.resume(load_checkpoint(part.out, spec))
        train_until(part, stop)
        assert part.step == stop
    last = make_trainer("parts", spec=spec)
    last.resume(load_checkpoint(last.out, spec))
    train_until(last, 10**6)
    assert_same(last, whole)
    assert log_of(last) == log_of(whole)
    lines = [json.loads(line) for line in log_of(whole).splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25, 28]
    assert sum(line["psnr_y"] is not None for line in lines) == 3  # at 3 and 6 seconds, and at the end
    assert lines[-1]["psnr_y"] is not None


@pytest.mark.usefixtures("short")
def test_a_killed_run_goes_on_from_its_checkpoint_as_if_nothing_had_been(make_trainer: MakeTrainer) -> None:
    """What was done after the checkpoint is done again, and its lines are written once."""
    spec = TrainSpec("nano", minutes=0.125, batch=2, patch=8, tail_patch=16)
    whole = make_trainer("whole", spec=spec)
    train_until(whole, 10**6)
    killed = make_trainer("killed", spec=spec)
    list(islice(run.train(killed, lambda: False), 4))  # left behind as it is, like a process that was killed
    log = killed.out / run.LOG
    log.write_text(log.read_text() + '{"step": 21, "sec')  # in the midst of a line
    saved = load_checkpoint(killed.out, spec)
    assert 0 < saved.step < killed.step == 20
    again = make_trainer("killed", spec=spec)
    again.resume(saved)
    train_until(again, 10**6)
    assert_same(again, whole)
    assert log_of(again) == log_of(whole)


def test_slow_steps_are_looked_at_and_saved_by_the_clock(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    """No 20 steps of 4 seconds each are waited for: a kill would then cost more than a minute."""
    trainer = make_trainer("slow", step_seconds=4.0)
    seen, saved = [], []
    for progress in trainer.run():
        seen.append(progress.step)
        saved.append(load_checkpoint(trainer.out, spec).seconds)
        assert progress.seconds - saved[-1] < 50
    assert seen == [3, 6, 9, 12, 14]
    assert saved[-1] > 0


@pytest.mark.usefixtures("short")
def test_what_was_trained_before_a_validation_is_not_lost_with_it(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many or large images to validate by take minutes, in which a run is killed as well as in others."""
    spec = TrainSpec("nano", minutes=0.125, batch=2, patch=8, tail_patch=16)
    whole = make_trainer("whole", spec=spec)
    train_until(whole, 10**6)
    killed = make_trainer("killed", spec=spec)
    validate = loop.validate

    def killed_in(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "validate", killed_in)
    with pytest.raises(KeyboardInterrupt):
        train_until(killed, 10**6)
    saved = load_checkpoint(killed.out, spec)
    assert saved.step == killed.step == 15  # 3 seconds of steps of a quarter, looked at by fives
    monkeypatch.setattr(loop, "validate", validate)
    with (killed.out / run.LOG).open("a") as log:  # as where the validation was over, and the log written
        log.write(log_of(whole).splitlines(keepends=True)[2])
    again = make_trainer("killed", spec=spec)
    again.resume(saved)
    train_until(again, 10**6)
    assert_same(again, whole)
    assert log_of(again) == log_of(whole)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("wrong", [1, 3, 14, 15, 16])
def test_a_loss_that_is_no_number(make_trainer: MakeTrainer, spec: TrainSpec, tmp_path: Path, wrong: int) -> None:
    trainer, sound = make_trainer("wrong", nan_at=wrong), make_trainer("sound")
    with pytest.raises(TrainingError, match=rf"The loss is nan at step {wrong}\. "):
        list(run.train(trainer, lambda: False))
    saved = load_checkpoint(trainer.out, spec)
    assert saved.step < wrong
    assert trainer.step == saved.step
    for state in (saved.model, saved.average, *saved.optimizer["state"].values()):
        assert all(torch.isfinite(value).all() for value in state.values())
    if saved.step:
        train_until(sound, saved.step)
    else:
        list(sound.run(lambda: True))
    assert torch.equal(saved.average["head.weight"], sound.average.state_dict()["head.weight"])
    run.write_weights(trainer, tmp_path / "last.safetensors", licence="CC0-1.0", training_data="waves")
    network, info = load_weights(tmp_path / "last.safetensors")
    assert (info.name, info.licence) == ("nano-x2", "CC0-1.0")
    assert torch.equal(network.head.weight, saved.average["head.weight"])


@pytest.mark.usefixtures("short")
def test_a_loss_that_is_no_number_right_after_a_validation_keeps_what_it_found(
    make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    spec = TrainSpec("nano", minutes=0.125, batch=2, patch=8, tail_patch=16)
    trainer = make_trainer("wrong", spec=spec, nan_at=17)
    with pytest.raises(TrainingError):
        train_until(trainer, 10**6)
    found = [line["psnr_y"] for line in map(json.loads, log_of(trainer).splitlines()) if line["psnr_y"] is not None]
    assert len(found) == 1
    run.write_weights(trainer, tmp_path / "last.safetensors", licence="CC0-1.0", training_data="waves")
    assert load_weights(tmp_path / "last.safetensors")[1].scores == {"validation": round(found[0], 3)}


@pytest.mark.usefixtures("short")
def test_a_stop_right_after_a_bad_step_saves_nothing_bad(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    trainer = make_trainer("wrong", nan_at=7)
    with pytest.raises(TrainingError, match="step 7"):
        train_until(trainer, 7)
    assert load_checkpoint(trainer.out, spec).step < 7


@pytest.mark.usefixtures("short")
def test_a_gradient_that_is_not_finite(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    """A loss may be finite and its gradient not: the step would spoil every weight before the next loss tells."""
    trainer = make_trainer("wrong")

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * torch.inf if trainer.step == 3 else gradient

    trainer.model.head.weight.register_hook(spoil)
    with pytest.raises(TrainingError, match=r"The gradient is (nan|inf) at step 4\. "):
        list(run.train(trainer, lambda: False))
    assert all(torch.isfinite(value).all() for value in load_checkpoint(trainer.out, spec).model.values())


@contextmanager
def files_up_to(size: int) -> Generator[None]:
    """Every write beyond `size` bytes of a file fails: a disk that fills, for any user."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_checkpoint_that_cannot_be_finished_leaves_the_one_before(
    make_trainer: MakeTrainer, spec: TrainSpec, share: float
) -> None:
    trainer = make_trainer("full")
    train_until(trainer, 2)
    path = trainer.out / FILE
    before = path.read_bytes()
    with files_up_to(int(share * len(before))), pytest.raises(OutputError) as caught:
        list(trainer.run(lambda: trainer.step >= 4))
    assert str(caught.value) == (
        f"Cannot write the checkpoint {path}: File too large. Make room and go on with --resume"
    )
    assert path.read_bytes() == before
    assert [file.name for file in trainer.out.iterdir() if "part" in file.name] == []
    assert load_checkpoint(trainer.out, spec).step == 2


def test_a_disk_that_fills(make_trainer: MakeTrainer, spec: TrainSpec, tmp_path: Path) -> None:
    """A file system of 1.5 checkpoints."""
    trainer = make_trainer("rehearsal")
    list(trainer.run(lambda: trainer.step >= 1))
    size = (trainer.out / FILE).stat().st_size * 3 // 2
    place = tmp_path / "small-disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size // 4096 * 4096}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        full = make_trainer("small-disk")
        with pytest.raises(OutputError, match=r"No space left on device. Make room and go on with --resume"):
            list(run.train(full, lambda: full.step >= 3))
        assert load_checkpoint(place, spec).step == 0
        assert list(place.glob("*.part")) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_resuming_another_run_is_refused(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("run")
    train_until(trainer, 1)
    other = TrainSpec("nano", minutes=2.0, batch=4, patch=8, tail_patch=16, warmup_share=0.1)
    with pytest.raises(SettingsError, match=r"minutes 2\.0 is 1\.0, batch 4 is 2 there"):
        load_checkpoint(trainer.out, other)


def test_a_damaged_checkpoint_is_refused(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    trainer = make_trainer("run")
    train_until(trainer, 1)
    path = trainer.out / FILE
    whole = path.read_bytes()
    for damaged in (b"", b"no checkpoint", whole[: len(whole) // 2], whole[:-100]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            load_checkpoint(trainer.out, spec)
    path.unlink()
    with pytest.raises(InputError, match=r"No such file or directory. Train without --resume"):
        load_checkpoint(trainer.out, spec)


def test_a_teacher_takes_part(make_trainer: MakeTrainer) -> None:
    spec = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16, distill_weight=0.5)
    alone, taught = make_trainer("alone", spec=spec), None
    torch.manual_seed(9)
    teacher = deploy(alone.average)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    taught = make_trainer("taught", spec=spec, teacher=teacher)
    for trainer in (alone, taught):
        train_until(trainer, 2)
    assert not torch.equal(alone.model.head.weight, taught.model.head.weight)
    assert not any(parameter.requires_grad for parameter in taught.average.parameters())


def test_bfloat16_trains_too(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("half", half=True)
    train_until(trainer, 3)
    assert trainer.step == 3
    assert all(value.dtype == torch.float32 for value in trainer.model.parameters())


@pytest.mark.parametrize("half", [False, True])
def test_what_is_compiled_trains_as_what_is_not(make_trainer: MakeTrainer, half: bool) -> None:
    """Through torch.compile's tracing, forward and backward, for both shapes of batches; without its code for a GPU."""
    plain, compiled = make_trainer("plain", half=half), make_trainer("compiled", half=half, compiler="aot_eager")
    for trainer in (plain, compiled):
        train_until(trainer, 3)
    assert (compiled.step, compiled.seconds) == (plain.step, plain.seconds)  # compiling is not in the budget
    for mine, other in zip(compiled.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=3e-3 if half else 1e-5)


def test_a_run_that_began_on_another_kind_of_device_goes_on(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    begun = make_trainer("run")
    train_until(begun, 3)
    on_a_gpu = replace(load_checkpoint(begun.out, spec), device="cuda", generator=torch.zeros(16, dtype=torch.uint8))
    gone_on = make_trainer("run")
    gone_on.resume(on_a_gpu)
    train_until(gone_on, 5)
    assert (gone_on.step, gone_on.resumed_elsewhere, begun.resumed_elsewhere) == (5, True, False)


def test_training_learns(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("learning", spec=TrainSpec("nano", minutes=0.25, batch=2, patch=16, tail_patch=16))
    start = trainer._validate()
    losses = [progress.loss for progress in trainer.run()]
    assert losses[-1] < losses[0]
    assert trainer.best_psnr is not None
    assert trainer.best_psnr > start + 0.3


def test_the_last_phase_steps_as_far_as_the_first() -> None:
    """Adam remembers L1's gradients: those of the last loss are as large, in the squared error's direction."""
    generator = torch.Generator().manual_seed(3)
    wanted = torch.rand(4, 3, 16, 16, generator=generator)
    result = (wanted + 0.02 * torch.randn(wanted.shape, generator=generator)).requires_grad_()
    gradients = [
        torch.autograd.grad(loss(result, wanted), result)[0].flatten()
        for loss in (torch.nn.functional.l1_loss, loop.root_mean_square_error, torch.nn.functional.mse_loss)
    ]
    first, last, squared = gradients
    assert 0.5 < float(last.norm() / first.norm()) < 2
    assert float(torch.cosine_similarity(last, squared, dim=0)) > 0.999
