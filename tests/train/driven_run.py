"""Runs as tests drive them: until a step, and compared to the last bit."""

from __future__ import annotations

import resource
from collections.abc import Callable, Generator
from contextlib import contextmanager

import torch

from lipt_stream.train import run
from lipt_stream.train.loop import Trainer

MakeTrainer = Callable[..., Trainer]
"""The fixture of conftest.py."""


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Everything that decides how a run goes on, as tensors by name."""
    moments = {
        f"optimizer.{number}.{name}": value
        for number, state in enumerate(trainer.optimizer.state_dict()["stacks"])
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


@contextmanager
def files_up_to(size: int) -> Generator[None]:
    """Every write beyond `size` bytes of a file fails: a disk that fills, for any user."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
