"""The loop: stopped by numbers that are not finite, its checkpoint whole whatever happens, teachers, half precision."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path

import pytest
import torch
from driven_run import MakeTrainer, files_up_to, log_of, train_until

from lipt_stream.errors import OutputError, TrainingError
from lipt_stream.model.lipt import deploy
from lipt_stream.model.weights import load_weights
from lipt_stream.train import loop, run
from lipt_stream.train.batches import Batch, BicubicBatches
from lipt_stream.train.checkpoint import FILE, load_checkpoint
from lipt_stream.train.loss import BEST_PSNR, distance_of, missing_psnr
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.validation import CEILING


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("wrong", [1, 3, 14, 15, 16])
def test_a_loss_that_is_no_number(make_trainer: MakeTrainer, spec: TrainSpec, tmp_path: Path, wrong: int) -> None:
    trainer, sound = make_trainer("wrong", nan_at=wrong), make_trainer("sound")
    with pytest.raises(TrainingError, match=rf"The loss is nan at step {wrong}\. ") as error:
        list(run.train(trainer, lambda: False))
    saved = load_checkpoint(trainer.out, spec)
    assert saved.step < wrong
    assert (f"What step {saved.step} had reached" if saved.step else "Nothing was learnt before") in error.value.hint
    assert trainer.step == saved.step
    for state in (saved.model, saved.average, *saved.optimizer["stacks"]):
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


@pytest.mark.parametrize(("ensemble", "compiler"), [(False, ""), (True, ""), (True, "aot_eager")])
def test_a_teacher_takes_part(make_trainer: MakeTrainer, ensemble: bool, compiler: str) -> None:
    settings = {"minutes": 1.0, "batch": 2, "patch": 8, "tail_patch": 16}
    spec = TrainSpec("nano", distill_weight=1.0 if ensemble else 0.5, distill_ensemble=ensemble, **settings)
    alone = make_trainer("alone", spec=spec)
    torch.manual_seed(9)
    teacher = deploy(alone.average)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    taught = make_trainer("taught", spec=spec, teacher=teacher, compiler=compiler)
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


def test_training_learns(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer("learning", spec=TrainSpec("nano", minutes=0.25, batch=2, patch=16, tail_patch=16))
    start = trainer._validate()
    losses = [progress.loss for progress in trainer.run()]
    assert losses[-1] < losses[0]
    assert trainer.best_psnr is not None
    assert trainer.best_psnr > start + 0.3


@pytest.mark.usefixtures("short")
def test_where_nothing_is_told_apart_the_one_that_learnt_longest_is_kept(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skies and title cards come out as well as counts from the start on."""
    monkeypatch.setattr(loop, "validate", lambda *_: CEILING)
    trainer = make_trainer("skies", spec=TrainSpec("nano", minutes=0.25, batch=2, patch=8, tail_patch=16))
    list(trainer.run())
    assert trainer.result_psnr == trainer.start_psnr == CEILING
    torch.testing.assert_close(trainer.result().state_dict(), deploy(trainer.average).state_dict())


def test_a_run_that_gets_worse_ends_with_what_it_began_with(make_trainer: MakeTrainer) -> None:
    spec = TrainSpec("nano", minutes=0.1, batch=2, patch=16, tail_patch=16, learning_rate=0.1)
    trainer = make_trainer("worse", spec=spec)
    began = deploy(trainer.average)
    psnrs = [progress.psnr_y for progress in trainer.run() if progress.psnr_y is not None]
    assert trainer.start_psnr is not None
    assert max(psnrs) < trainer.start_psnr == trainer.best_psnr
    resumed = make_trainer("worse", spec=spec)
    resumed.resume(load_checkpoint(trainer.out, spec))
    for ended in (trainer, resumed):
        assert ended.start_psnr == ended.result_psnr == trainer.start_psnr
        kept = ended.result().state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in began.state_dict().items())


def test_the_last_phase_steps_as_far_as_the_first() -> None:
    """The optimizer remembers L1's gradients: those of the last loss are as large, in the squared error's direction."""
    generator = torch.Generator().manual_seed(3)
    wanted = torch.rand(4, 3, 16, 16, generator=generator)
    result = (wanted + 0.02 * torch.randn(wanted.shape, generator=generator)).requires_grad_()
    gradients = [
        torch.autograd.grad(loss(result, wanted), result)[0].flatten()
        for loss in (
            distance_of("l1", last_phase=False),
            distance_of("l1", last_phase=True),
            torch.nn.functional.mse_loss,
            distance_of("psnr", last_phase=False),
        )
    ]
    first, last, squared, missing = gradients
    assert 0.5 < float(last.norm() / first.norm()) < 2
    assert 0.5 < float(missing.norm() / first.norm()) < 2
    assert float(torch.cosine_similarity(last, squared, dim=0)) > 0.999


def test_the_loss_psnr_is_what_the_crops_lack_in_the_mean() -> None:
    """A smooth crop counts as much as a busy one; what is right asks for nothing, with a gradient that is finite."""
    wanted = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    result = (wanted + torch.tensor([0.0, 0.01, 0.1]).view(3, 1, 1, 1)).requires_grad_()
    loss = missing_psnr(result, wanted)
    assert loss.item() == pytest.approx(((BEST_PSNR - 40) + (BEST_PSNR - 20)) / 3 / 500, rel=0.05)
    loss.backward()
    assert result.grad is not None
    right, smooth, busy = result.grad.flatten(1).norm(dim=1)
    assert float(right) == 0
    # The same share of each one's error would bring as much.
    assert float(smooth * 0.01) == pytest.approx(float(busy * 0.1), rel=0.15)


def test_training_for_psnr_gets_on_and_is_another_run(make_trainer: MakeTrainer) -> None:
    spec = TrainSpec("nano", minutes=0.25, batch=2, patch=16, tail_patch=16)
    trainers = [make_trainer(loss, spec=dataclasses.replace(spec, loss=loss)) for loss in ("l1", "psnr")]
    losses = [[progress.loss for progress in trainer.run()] for trainer in trainers]
    assert losses[1][-1] < losses[1][0]
    assert not torch.equal(trainers[0].model.head.weight, trainers[1].model.head.weight)


@pytest.mark.usefixtures("short")
def test_slow_validations_take_no_more_than_a_tenth_of_the_time(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a large network, or of hundreds of images."""
    now = 1000.0

    def clock() -> float:
        nonlocal now
        now += 0.25
        return now

    def slow(*_: object) -> float:
        nonlocal now
        now += 4.0
        return 20.0

    trainer = make_trainer("slow", clock=clock)

    monkeypatch.setattr(loop, "validate", slow)
    validated = [progress.seconds for progress in run.train(trainer, lambda: False) if progress.psnr_y is not None]
    assert len(validated) == 3  # the first, which tells what one takes; one more; the last
    assert validated[1] >= 40


def test_what_lacks_memory_for_the_tail_fails_before_the_first_step(
    make_trainer: MakeTrainer, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = BicubicBatches.draw

    def short_of_memory(batches: BicubicBatches, count: int, patch: int, generator: torch.Generator) -> Batch:
        if patch == spec.tail_patch:
            raise MemoryError
        return draw(batches, count, patch, generator)

    monkeypatch.setattr(BicubicBatches, "draw", short_of_memory)
    trainer = make_trainer("large")
    with pytest.raises(MemoryError):
        list(trainer.run())
    assert trainer.step == 0
