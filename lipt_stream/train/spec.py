"""What a training run is: one frozen record, kept in its checkpoints so that only the same run is resumed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from lipt_stream.errors import SettingsError, nearest
from lipt_stream.model.config import NAMES, LiptConfig, Scale
from lipt_stream.model.weights import Content, Task
from lipt_stream.train.loss import Loss

Source: TypeAlias = Literal["bicubic", "video"]
"""Where the LR comes from: antialiased bicubic on the fly, or real encoders (`train/pairs.py`)."""

_LARGEST_PATCH: Final = 4096
_LARGEST_BATCH: Final = 65_536


def usual(task: str) -> tuple[Scale, Source]:
    """The scale and the source of the LR that a task has where nothing else is said."""
    return (2, "bicubic") if task == "sr" else (1, "video")


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """A run of training. Raises SettingsError where the values make none.

    `minutes` is the whole budget: warm-up, decay, the final phase, evaluation and checkpoints follow from it.
    `patch` is the side of a crop in LR pixels, a multiple of the window; `tail_share` the last part of the budget, in
    which patches are `tail_patch` pixels wide and `loss` "l1" has become the root of the mean squared error.
    `distill_weight` (0..1) is the part of the loss that is taken against the teacher's picture instead of the
    original; with `distill_ensemble` the teacher sees each crop in a flip or rotation drawn at random. `branches`: each
    3x3 convolution trains as the paper's six branches, merged in every forward pass. `variants` says how many times
    each image is degraded, where real encoders do it.
    """

    model: str
    scale: Scale = 2
    task: Task = "sr"
    degrade: Source = "bicubic"
    minutes: float = 60.0
    batch: int = 16
    patch: int = 64
    loss: Loss = "l1"
    learning_rate: float = 3e-3
    warmup_share: float = 0.02
    tail_share: float = 0.15
    tail_patch: int = 96
    ema_decay: float = 0.999
    distill_weight: float = 0.0
    distill_ensemble: bool = False
    branches: bool = False
    variants: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in NAMES:
            raise SettingsError(f"No network is called {self.model!r}", nearest(self.model, NAMES))
        if self.scale not in (1, 2, 3, 4):
            raise SettingsError(f"--scale {self.scale} is none of 1, 2, 3 and 4", "2 is the usual one")
        for name, known in (("task", get_args(Task)), ("degrade", get_args(Source)), ("loss", get_args(Loss))):
            if getattr(self, name) not in known:
                raise SettingsError(
                    f"--{name} {getattr(self, name)} is none of {', '.join(known)}", f"{known[0]} is usual"
                )
        if (self.task == "sr") == (self.scale == 1):
            raise SettingsError(
                f"--task {self.task} at x{self.scale} makes no sense", "sr enlarges; deblock and denoise are x1"
            )
        if self.task != "sr" and self.degrade == "bicubic":
            raise SettingsError(f"--task {self.task} needs a degradation", "Add --degrade video")
        if not 0 < self.minutes < 1e6:
            raise SettingsError(f"--minutes {self.minutes} is no budget", "Give minutes above 0, and below a million")
        window = self.config.window
        usual = {item.name: item.default for item in dataclasses.fields(self)}
        for name in ("patch", "tail_patch"):
            side = getattr(self, name)
            if not window <= side <= _LARGEST_PATCH or side % window:
                raise SettingsError(
                    f"{_option(name)} {side} is no multiple of the window, {window}, up to {_LARGEST_PATCH}",
                    f"{usual[name]} is usual",
                )
        if self.variants < 1 or (self.variants > 1 and self.degrade == "bicubic"):
            raise SettingsError(
                f"--variants {self.variants} makes no sense with --degrade {self.degrade}",
                "It counts an image's degradations by real encoders, of which bicubic has none",
            )
        if not 1 <= self.batch <= _LARGEST_BATCH:
            raise SettingsError(f"--batch {self.batch} is no batch", f"Give 1 to {_LARGEST_BATCH}")
        if not 0 < self.learning_rate < 1:
            raise SettingsError(f"--learning-rate {self.learning_rate} is not between 0 and 1", "0.003 is usual")
        if not 0 <= self.distill_weight <= 1:
            raise SettingsError(f"--distill-weight {self.distill_weight} is not from 0 to 1", "0.5 is usual")
        for name in ("warmup_share", "tail_share", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                told = _option(name) if name == "tail_share" else name  # the others are no options
                raise SettingsError(
                    f"{told} {getattr(self, name)} is not from 0 to below 1",
                    "Leave it out for the usual value",
                )
        if not 0 <= self.seed < 2**63:
            raise SettingsError(f"--seed {self.seed} is none", "Give a whole number from 0 to below 2^63")

    @property
    def name(self) -> str:
        """What its weights are called, such as tiny-x2-video or nano-x1-denoise."""
        suffix = f"-{self.task}" if self.task != "sr" else "-video" if self.degrade == "video" else ""
        return f"{self.model}-x{self.scale}{suffix}"

    @property
    def content(self) -> Content:
        """What its weights learn to see."""
        return "video" if self.degrade == "video" and self.task != "denoise" else "clean"

    @property
    def config(self) -> LiptConfig:
        return LiptConfig.named(self.model, self.scale)

    @property
    def largest_patch(self) -> int:
        """The side of the largest crop that the run will take, in LR pixels."""
        return max(self.patch, self.tail_patch) if self.tail_share else self.patch

    @property
    def seconds(self) -> float:
        return 60 * self.minutes

    def as_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def differences(self, other: TrainSpec) -> list[str]:
        """Each field that differs, as "batch 16 is 8"; empty where the two are one run."""
        mine, others = dataclasses.asdict(self), dataclasses.asdict(other)
        return [f"{name} {mine[name]} is {others[name]}" for name in mine if mine[name] != others[name]]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def spec_from_json(text: str) -> TrainSpec:
    """The spec that `as_json` wrote. ValueError or TypeError where it is none."""
    fields: dict[str, Any] = json.loads(text)
    return TrainSpec(**fields)
