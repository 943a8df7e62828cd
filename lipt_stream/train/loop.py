"""The training loop: a budget of seconds spent on steps, with what a killed run needs written down every so often.

The network trains with linear branches (`start.branch_out`) and is judged as it ships: the moving average of its
weights, deployed. Everything that depends on time goes through one clock, so that a test can resume exactly.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lipt_stream.errors import LiptError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.train.batches import Batch
from lipt_stream.train.checkpoint import Checkpoint, save_checkpoint
from lipt_stream.train.schedule import batch_shape, ema_decay, in_tail, learning_rate
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import branch_out
from lipt_stream.train.validation import ValidationPair, validate

LOOK_EVERY: Final = 20
"""Steps between two looks at the losses: looking waits for the device."""
CHECKPOINT_SECONDS: Final = 40.0
VALIDATIONS: Final = 40
"""How often a run is validated, evenly over its budget, but not more than once in VALIDATION_SECONDS."""
VALIDATION_SECONDS: Final = 30.0
GRADIENT_NORM: Final = 1.0


class TrainingError(LiptError):
    """The loss became NaN or infinite."""


class Batches(Protocol):
    """Where batches come from: `BicubicBatches` or `PairedBatches`."""

    def draw(self, count: int, patch: int, generator: torch.Generator) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What happened up to `step`. `seconds` of the budget are spent; Y-PSNR in dB: just now, or None, and at best."""

    step: int
    seconds: float
    loss: float
    learning_rate: float
    steps_per_second: float
    psnr_y: float | None
    best_psnr_y: float | None


class Trainer:
    """A run that can be stopped at any step and resumed from what it wrote.

    Iterating `run` trains; each Progress comes after at most LOOK_EVERY steps.
    """

    def __init__(
        self,
        spec: TrainSpec,
        start: LIPT,
        batches: Batches,
        validation: Sequence[ValidationPair],
        out: Path,
        *,
        device: torch.device,
        teacher: LIPT | None = None,
        half: bool = False,
        compiled: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start`: a deployed network. `half`: bfloat16 autocast. `teacher`: deployed, of the same scale."""
        self.spec = spec
        self.device = device
        self._batches, self._validation, self.out, self._clock = batches, validation, out, clock
        self._half, self._teacher = half, teacher.to(device).eval() if teacher else None
        self.model: LIPT = branch_out(start).to(device).train()
        self.average: LIPT = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=spec.learning_rate, fused=True)
        self.generator = torch.Generator(device).manual_seed(spec.seed)
        self._forward = cast("Callable[[Tensor], Tensor]", torch.compile(self.model) if compiled else self.model)  # pyright: ignore[reportUnknownMemberType]
        self.step = 0
        self.seconds = 0.0
        self.best_psnr: float | None = None
        self._best: LIPT | None = None

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Train until the budget is spent or `stop()` holds, writing checkpoints on the way and at the end.

        Raises TrainingError where the loss is no longer finite; `average` is then that of the last checkpoint.
        """
        began, before = self._clock(), self.seconds
        saved = validated = self.seconds
        losses: list[Tensor] = []
        step_then, seconds_then = self.step, self.seconds
        if self.step == 0:
            self._save()  # from here on there is a state to fall back on
        while not self.finished and not stop():
            losses.append(self._train_step(self.seconds / self.spec.seconds))
            self.step += 1
            self.seconds = before + self._clock() - began
            if len(losses) < LOOK_EVERY and not self.finished:
                continue
            loss = self._mean_loss(losses)
            losses.clear()
            psnr = None
            if self.finished or self.seconds - validated >= max(VALIDATION_SECONDS, self.spec.seconds / VALIDATIONS):
                psnr = self._validate()
                validated = self.seconds
            if self.seconds - saved >= CHECKPOINT_SECONDS:
                self._save()
                saved = self.seconds
            rate = (self.step - step_then) / max(self.seconds - seconds_then, 1e-9)
            step_then, seconds_then = self.step, self.seconds
            current = learning_rate(self.spec, min(self.seconds / self.spec.seconds, 1.0))
            yield Progress(self.step, self.seconds, loss, current, rate, psnr, self.best_psnr)
        if losses:
            self._mean_loss(losses)
        self._save()

    @property
    def finished(self) -> bool:
        return self.seconds >= self.spec.seconds

    def result(self) -> LIPT:
        """The deployed network: the average as it validated best, float32 on the CPU."""
        return copy.deepcopy(self._best or deploy(self.average)).cpu()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this run."""
        self.model.load_state_dict(checkpoint.model)
        self.average.load_state_dict(checkpoint.average)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.generator.set_state(checkpoint.generator)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.best_psnr = checkpoint.best_psnr
        if checkpoint.best is not None:
            self._best = LIPT(self.spec.config, deployed=True).to(self.device).eval()
            self._best.load_state_dict(checkpoint.best)

    def _train_step(self, progress: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.spec, progress)
        batch, patch = batch_shape(self.spec, progress)
        low, high = self._batches.draw(batch, patch, self.generator)
        low = low.contiguous(memory_format=torch.channels_last)
        with self._autocast():
            result = self._forward(low)
        loss = self._loss(result.float(), high, low, squared=in_tail(self.spec, progress))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        self._follow()
        return loss.detach()

    def _loss(self, result: Tensor, high: Tensor, low: Tensor, *, squared: bool) -> Tensor:
        distance = F.mse_loss if squared else F.l1_loss
        weight = self.spec.distill_weight
        if self._teacher is None or weight == 0:
            return distance(result, high)
        with torch.inference_mode(), self._autocast():
            taught = self._teacher(low).float()
        return (1 - weight) * distance(result, high) + weight * distance(result, taught.clone())

    def _follow(self) -> None:
        """Move the average a little towards the model."""
        keep = ema_decay(self.spec, self.step)
        with torch.no_grad():
            for average, weight in zip(self.average.parameters(), self.model.parameters(), strict=True):
                average.lerp_(weight, 1 - keep)

    def _autocast(self) -> AbstractContextManager[None]:
        if not self._half:
            return nullcontext()
        return cast("AbstractContextManager[None]", torch.autocast(self.device.type, dtype=torch.bfloat16))

    def _mean_loss(self, losses: list[Tensor]) -> float:
        """The mean of the last losses; a TrainingError names the step of the first that is not finite."""
        values = torch.stack(losses).cpu()
        wrong = (~torch.isfinite(values)).nonzero()
        if len(wrong):
            step = self.step - len(losses) + int(wrong[0]) + 1
            raise TrainingError(
                f"The loss is {float(values[int(wrong[0])])} at step {step}",
                f"The last good state is in {self.out}: --resume with a lower --learning-rate is another run, so "
                "start one with --init",
            )
        return float(values.mean())

    def _validate(self) -> float:
        network = deploy(self.average)
        psnr = validate(network, self._validation, self.device)
        if self.best_psnr is None or psnr > self.best_psnr:
            self.best_psnr, self._best = psnr, network
        return psnr

    def _save(self) -> None:
        save_checkpoint(
            self.out,
            Checkpoint(
                spec=self.spec,
                step=self.step,
                seconds=self.seconds,
                model=self.model.state_dict(),
                average=self.average.state_dict(),
                best=self._best.state_dict() if self._best else None,
                optimizer=self.optimizer.state_dict(),
                generator=self.generator.get_state().cpu(),
                best_psnr=self.best_psnr,
            ),
        )
