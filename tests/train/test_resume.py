"""A run that was stopped, killed or slowed down, against the one that never was."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from driven_run import MakeTrainer, assert_same, log_of, train_until

from lipt_stream.errors import InputError, SettingsError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.repconv import LinearBranches
from lipt_stream.train import loop, run
from lipt_stream.train.checkpoint import FILE, load_checkpoint
from lipt_stream.train.spec import TrainSpec


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

    def killed_in(network: LIPT, *rest: Any) -> float:
        if killed.step:  # not in that of what it begins with
            raise KeyboardInterrupt
        return validate(network, *rest)

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


@pytest.mark.parametrize("branches", [False, True])
def test_each_form_trains_as_what_it_merges_to_and_goes_on(make_trainer: MakeTrainer, *, branches: bool) -> None:
    spec = TrainSpec("nano", minutes=0.125, batch=2, patch=8, tail_patch=16, branches=branches)
    whole, part = make_trainer("whole", spec=spec), make_trainer("parts", spec=spec)
    assert any(isinstance(module, LinearBranches) for module in whole.model.modules()) is branches
    train_until(whole, 10)
    train_until(part, 6)
    last = make_trainer("parts", spec=spec)
    last.resume(load_checkpoint(last.out, spec))
    train_until(last, 10)
    assert_same(last, whole)
    picture = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(whole.average(picture), deploy(whole.average)(picture))


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
    weight = trainer.model.head.weight.detach().numpy().tobytes()  # of which no number would tell that it is wrong
    damages = (b"", b"no checkpoint", whole[: len(whole) // 2], whole[:-100])
    changes = ((weight, weight[:-1] + b"?"), (b"hrm_b.conv1", b"hrm_b.convX"))
    assert all(before in whole for before, _ in changes)
    for damaged in (*damages, *(whole.replace(before, after, 1) for before, after in changes)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            load_checkpoint(trainer.out, spec)
    path.unlink()
    with pytest.raises(InputError, match=r"No such file or directory. Check the file"):
        load_checkpoint(trainer.out, spec)


@pytest.mark.parametrize("age", ["earlier", "later"])
def test_a_checkpoint_of_another_version_is_refused(make_trainer: MakeTrainer, spec: TrainSpec, age: str) -> None:
    trainer = make_trainer("run")
    train_until(trainer, 1)
    fields = torch.load(trainer.out / FILE, weights_only=True)
    if age == "earlier":
        del fields["format"]
    else:
        fields |= {"format": fields["format"] + 1, "spec": '{"model": "pico"}', "news": 1}
    torch.save(fields, trainer.out / FILE)
    with pytest.raises(InputError, match=r"written by another version. Begin anew, with its weights\.safetensors"):
        load_checkpoint(trainer.out, spec)


def test_a_run_that_began_on_another_kind_of_device_goes_on(make_trainer: MakeTrainer, spec: TrainSpec) -> None:
    begun = make_trainer("run")
    train_until(begun, 3)
    on_a_gpu = replace(load_checkpoint(begun.out, spec), device="cuda", generator=torch.zeros(16, dtype=torch.uint8))
    gone_on = make_trainer("run")
    gone_on.resume(on_a_gpu)
    train_until(gone_on, 5)
    assert (gone_on.step, gone_on.resumed_elsewhere, begun.resumed_elsewhere) == (5, True, False)
