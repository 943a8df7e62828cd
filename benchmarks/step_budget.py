"""Training by a number of steps instead of minutes, so that what is compared has seen the same crops."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lipt_stream.model.config import LiptConfig
from lipt_stream.train.loop import Trainer
from lipt_stream.train.materials import Materials
from lipt_stream.train.soap import Soap
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import bilinear_start

CPU = torch.device("cpu")


def budget_arguments(description: str | None, *, steps: int) -> argparse.ArgumentParser:
    """What both benchmarks are asked for. `steps`: the usual number."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--valid", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--out", type=Path)
    return parser


class StepClock:
    """A clock on which every step takes a second."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None

    def __call__(self) -> float:
        return float(self.trainer.step) if self.trainer else 0.0


def trained(
    spec: TrainSpec,
    config: LiptConfig,
    materials: Materials,
    folder: Path,
    optimizer: Callable[[Iterable[nn.Parameter]], Any] = Soap,
) -> tuple[Trainer, float]:
    """A trainer at the end of its budget of a step a second, from the bilinear start, and the median real seconds of a
    step."""
    torch.manual_seed(spec.seed)
    clock = StepClock()
    start = bilinear_start(config)
    trainer = Trainer(spec, start, materials.batches, materials.validation, folder, device=CPU, clock=clock)
    trainer.optimizer = optimizer(trainer.model.parameters())
    clock.trainer = trainer
    moments = [(0, time.perf_counter())]
    moments += [(progress.step, time.perf_counter()) for progress in trainer.run()]
    looks = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(moments)]
    steps = [seconds / count for count, seconds in looks if count]
    return trainer, statistics.median(steps)
