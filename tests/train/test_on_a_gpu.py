"""Training on a GPU as `train` does it there: bfloat16, compiled, images on the device. Rehearsed on the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from driven_run import MakeTrainer, state_of, train_until

from lipt_stream.engine.upscaler import pick_device
from lipt_stream.model.lipt import deploy
from lipt_stream.train.batches import shrink
from lipt_stream.train.checkpoint import load_checkpoint
from lipt_stream.train.images import Crops, PackedImages
from lipt_stream.train.loop import Trainer
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.validation import bicubic_pairs, validate

pytestmark = pytest.mark.filterwarnings("default")  # compilers have their own, which are no failure
CPU = torch.device("cpu")
CHOSEN = {"cpu": {}, "cuda": {"half": True, "compiler": "inductor"}}
ALIKE = 0.98
"""The cosine between two gradients of one batch in bfloat16, at the least."""
on_both = pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


def assert_close(one: Trainer, other: Trainer) -> None:
    """Backward passes on a GPU add up in any order; what is drawn and counted is the same."""
    ours, theirs = state_of(one), state_of(other)
    assert ours.keys() == theirs.keys()
    for key in ("generator", "clock"):
        assert torch.equal(ours[key], theirs[key])
    for kind in ("moment", "model", "average", "result"):
        mine, its = (
            torch.cat([value.flatten().cpu().double() for key, value in state.items() if kind in key.split(".")])
            for state in (ours, theirs)
        )
        assert float(torch.cosine_similarity(mine, its, dim=0)) > ALIKE


@on_both
def test_crops_and_their_reduction_are_those_of_the_cpu(name: str) -> None:
    device = pick_device(name)
    random = np.random.default_rng(5)
    images = [random.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((40, 61), (57, 33), (200, 190))]
    there, here = PackedImages(list(images), device), PackedImages(list(images), CPU)
    crops = there.draw(64, 32, torch.Generator(device).manual_seed(1))
    on_cpu = Crops(*(getattr(crops, field.name).cpu() for field in dataclasses.fields(Crops)))
    cut, expected = there.cut(crops, 32), here.cut(on_cpu, 32)
    assert cut.device == device
    assert torch.equal(cut.cpu(), expected)
    assert (shrink(cut.float(), 2).cpu() - shrink(expected.float(), 2)).abs().max() <= 1  # of a value near a half


@on_both
def test_steps_are_those_of_the_same_network_uncompiled(name: str, make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    device = pick_device(name)
    chosen = make_trainer("chosen", device=device, **CHOSEN[name])
    plain = make_trainer("plain", device=device, half=CHOSEN[name].get("half", False))
    for trainer in (chosen, plain):
        train_until(trainer, 3)
        assert trainer.step == 3
        assert {parameter.device for parameter in trainer.model.parameters()} == {device}
    assert_close(chosen, plain)
    saved = load_checkpoint(chosen.out, spec)
    assert saved.device == device.type
    assert torch.isfinite(saved.record).all()
    assert all(torch.isfinite(value).all() for value in chosen.result().state_dict().values())


@on_both
def test_a_resumed_run_goes_on_as_the_one_that_never_stopped(
    name: str, make_trainer: MakeTrainer, spec: TrainSpec
) -> None:
    how = {"device": pick_device(name), "half": CHOSEN[name].get("half", False)}
    whole, part = make_trainer("whole", **how), make_trainer("parts", **how)
    train_until(whole, 5)
    train_until(part, 3)
    last = make_trainer("parts", **how)
    last.resume(load_checkpoint(last.out, spec))
    assert not last.resumed_elsewhere
    train_until(last, 5)
    assert_close(last, whole)


@on_both
def test_a_run_of_a_cpu_goes_on_here(name: str, make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    device = pick_device(name)
    begun = make_trainer("run")
    train_until(begun, 2)
    gone_on = make_trainer("run", device=device)
    gone_on.resume(load_checkpoint(begun.out, spec))
    assert gone_on.resumed_elsewhere is (name != "cpu")
    train_until(gone_on, 4)
    assert gone_on.step == 4
    moments = [value for state in gone_on.optimizer.state_dict()["stacks"] for value in state.values()]
    assert {value.device for value in moments} == {device}


@on_both
def test_it_is_validated_as_on_the_cpu(name: str, make_trainer: MakeTrainer) -> None:
    device = pick_device(name)
    trainer = make_trainer("run", device=device)
    y, x = np.mgrid[:50, :46]
    image = np.stack([y * 5, x * 5, 120 + 90 * np.sin(x * y / 40)], axis=2).astype(np.uint8)
    network, pairs = deploy(trainer.average), bicubic_pairs([image], 2)
    there = validate(network, pairs, device)
    assert there == pytest.approx(validate(network.cpu(), pairs, CPU), abs=0.02)


@pytest.mark.gpu
def test_a_teacher_teaches_on_a_gpu(make_trainer: MakeTrainer) -> None:
    spec = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16, distill_weight=0.5)
    teacher = make_trainer("teacher").result()
    taught = make_trainer("taught", spec=spec, teacher=teacher, device=pick_device("cuda"), half=True)
    train_until(taught, 2)
    assert taught.step == 2


@pytest.mark.gpu
def test_memory_that_runs_out_leaves_the_folder_empty(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    spec = TrainSpec("nano", minutes=1.0, batch=4096, patch=8, tail_patch=16)
    trainer = make_trainer("full", spec=spec, device=pick_device("cuda"))
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            train_until(trainer, 1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["log.jsonl"]
