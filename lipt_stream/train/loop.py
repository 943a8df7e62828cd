"""The training loop: a budget of seconds spent on steps, with what a killed run needs written down every so often.

The network trains as it ships, or with linear branches (`start.branch_out`), and is judged as it ships: the moving
average of its weights, deployed. Everything that depends on time goes through one clock, so that a test can resume
exactly.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lipt_stream.engine.runtimes import without_cudnn_attention
from lipt_stream.errors import TrainingError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.train.batches import Batch
from lipt_stream.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lipt_stream.train.loss import distance_of
from lipt_stream.train.schedule import batch_shape, ema_decay, in_tail, learning_rate
from lipt_stream.train.soap import Soap
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import branch_out
from lipt_stream.train.teacher import seen_in_a_view
from lipt_stream.train.validation import CEILING, ValidationPair, validate

LOOK_EVERY: Final = 20
"""Steps between two looks at the losses, which wait for the device; slow steps are looked at by LOOK_SECONDS."""
LOOK_SECONDS: Final = 10.0
CHECKPOINT_SECONDS: Final = 30.0
"""With LOOK_SECONDS and a step, less than the minute of training that a killed run may lose."""
VALIDATIONS: Final = 40
"""How often a run is validated, evenly over its budget, but not more than once in VALIDATION_SECONDS, nor so often that
more than one part in VALIDATION_SHARE of the time goes into it."""
VALIDATION_SECONDS: Final = 30.0
VALIDATION_SHARE: Final = 10
GRADIENT_NORM: Final = 1.0


class Batches(Protocol):
    """Where batches come from: `BicubicBatches` or `PairedBatches`."""

    def draw(self, count: int, patch: int, generator: torch.Generator) -> Batch: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What happened up to `step`. `seconds` of the budget are spent; `gradient_norm` is the largest since the
    last look, before it was cut; Y-PSNR in dB: just now, or None, and at best."""

    step: int
    seconds: float
    loss: float
    gradient_norm: float
    learning_rate: float
    steps_per_second: float
    psnr_y: float | None
    best_psnr_y: float | None


class Trainer:
    """A run that can be stopped at any step and resumed from what it wrote.

    Iterating `run` trains; each Progress comes after at most LOOK_EVERY steps, or the first one after LOOK_SECONDS.
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
        compiler: str = "",
        surroundings: Mapping[str, str] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`start`: a deployed network. `half`: bfloat16 autocast. `teacher`: deployed, of the same scale.
        `compiler`: a backend of torch.compile, none where empty. `surroundings`: see Checkpoint."""
        self.spec = spec
        self.device = device
        self._batches, self._validation, self.out, self._clock = batches, validation, out, clock
        self._half = half
        form = branch_out(start) if spec.branches else copy.deepcopy(start)
        self.model: LIPT = form.to(device).requires_grad_().train()
        self.average: LIPT = copy.deepcopy(self.model).requires_grad_(False).eval()
        self._trained, self._averaged = tuple(self.model.parameters()), tuple(self.average.parameters())
        self.optimizer = Soap(self.model.parameters())
        self.generator = torch.Generator(device).manual_seed(spec.seed)
        self._forward = _compiled(self.model, compiler)
        self._teacher = _compiled(teacher.to(device).requires_grad_(False).eval(), compiler) if teacher else None
        self._surroundings = dict(surroundings)
        self.resumed_elsewhere = False
        """Whether what was resumed began on another kind of device: its crops are then others than without the stop."""
        self.step = 0
        self.seconds = 0.0
        self.start_psnr: float | None = None
        self.best_psnr: float | None = None
        self._start = deploy(self.average)
        self._best: LIPT | None = None  # until the first validation on the way
        # What happened since the last look: (loss, gradient norm) of each step, and where in the budget that look was.
        self._record: list[Tensor] = []
        self._looked = 0.0
        self._validation_seconds = 0.0

    def run(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Progress]:
        """Train until the budget is spent or `stop()` holds, writing checkpoints on the way and at the end.

        Raises TrainingError where the loss or its gradient is no longer finite: this trainer is then back at the last
        checkpoint, whose state was finite.
        """
        if not self.finished:
            self._try_shapes()  # a run that fails here has not begun, and leaves its folder as it was
        if self.step == 0:
            self.start_psnr = self.best_psnr = validate(self._start, self._validation, self.device)
            self._save()  # from here on there is a state to fall back on
        began, saved = self._clock() - self.seconds, self.seconds
        while True:
            if self._is_look_due():  # also the one before which a resumed run was saved
                validates = self._is_validation_due()
                if validates or self.seconds - saved >= CHECKPOINT_SECONDS:  # first: a validation may take minutes
                    self._require_finite()
                    self._save()
                    saved = self.seconds
                progress = self._look()
                if validates:  # its time is no step's, nor does it bring the next one nearer
                    self.seconds = self._clock() - began
                    self._validation_seconds, self._looked = self.seconds - self._looked, self.seconds
                yield progress
                if validates:
                    self._save()  # the network that is now the best
                    saved = self.seconds
            if self.finished or stop():
                break
            self._record.append(self._train_step(self.seconds / self.spec.seconds))
            self.step += 1
            self.seconds = self._clock() - began
        self._require_finite()
        self._save()

    @property
    def finished(self) -> bool:
        return self.seconds >= self.spec.seconds

    @property
    def looked_step(self) -> int:
        """The step at which the last Progress was given."""
        return self.step - len(self._record)

    @property
    def result_psnr(self) -> float | None:
        """Of `result`, in dB; None where it was not validated."""
        return self.best_psnr if self._best else None

    def result(self) -> LIPT:
        """The deployed network: the average as it validated best, float32 on the CPU."""
        return copy.deepcopy(self._best or deploy(self.average)).cpu()

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this run."""
        self.model.load_state_dict(checkpoint.model)
        self.average.load_state_dict(checkpoint.average)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.resumed_elsewhere = checkpoint.device != self.device.type
        if self.resumed_elsewhere:  # the states of two kinds of generators have nothing in common
            self.generator.manual_seed(self.spec.seed + checkpoint.step)
        else:
            self.generator.set_state(checkpoint.generator)
        self.step, self.seconds = checkpoint.step, checkpoint.seconds
        self.start_psnr, self.best_psnr, self._looked = checkpoint.start_psnr, checkpoint.best_psnr, checkpoint.looked
        self._validation_seconds = checkpoint.validation_seconds
        self._record = list(checkpoint.record.to(self.device))
        self._best = self._restored(checkpoint.best)
        self._start = self._restored(checkpoint.start) or self._start  # not asked for any more where there is a best

    def _restored(self, state: dict[str, Any] | None) -> LIPT | None:
        if state is None:
            return None
        network = LIPT(self.model.config, deployed=True).to(self.device).eval()
        network.load_state_dict(state)
        return network

    def _train_step(self, progress: float) -> Tensor:
        """One step; the loss and the norm of its gradient, (2,), which nothing has waited for yet."""
        loss = self._gradient(progress, self.generator)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step(learning_rate(self.spec, progress))
        self._follow()
        return torch.stack((loss.detach(), norm))

    def _gradient(self, progress: float, generator: torch.Generator) -> Tensor:
        """The loss on a new batch; its gradient replaces the one before."""
        batch, patch = batch_shape(self.spec, progress)
        low, high = self._batches.draw(batch, patch, generator)
        low = low.contiguous(memory_format=torch.channels_last)
        with self._on_device():
            result = self._forward(low)
        taught = self._taught(low, generator)
        distance = distance_of(self.spec.loss, last_phase=in_tail(self.spec, progress))
        loss = distance(result.float(), high)
        if taught is not None:
            loss = torch.lerp(loss, distance(result.float(), taught), self.spec.distill_weight)
        self.optimizer.zero_grad()
        loss.backward()  # pyright: ignore[reportUnknownMemberType]
        return loss

    def _try_shapes(self) -> None:
        """One gradient of each shape of batches that is to come, without a step: what lacks memory fails here, and not
        after hours at the tail's larger patches; what compiles does it here. Not in the budget: a minute of it would
        swallow the steps in which the learning rate warms up."""
        last = 1.0 if self.spec.tail_share else 0.0
        for progress in sorted({self.seconds / self.spec.seconds, last}):
            self._gradient(progress, torch.Generator(self.device).manual_seed(self.spec.seed))
        self.optimizer.zero_grad()

    def _taught(self, low: Tensor, generator: torch.Generator) -> Tensor | None:
        """What the teacher makes of a batch, (N, 3, scale H, scale W); None without a teacher."""
        if self._teacher is None:
            return None
        with torch.no_grad(), self._on_device():
            if self.spec.distill_ensemble:
                return seen_in_a_view(self._teacher, low, generator)
            return self._teacher(low).float()

    def _follow(self) -> None:
        """Move the average a little towards the model."""
        keep = ema_decay(self.spec, self.step)
        # One launch for all: parameter by parameter, a GPU would wait for hundreds of small ones in every step.
        get_ema_multi_avg_fn(keep)(self._averaged, self._trained, self.step)

    @contextmanager
    def _on_device(self) -> Generator[None]:
        """How networks run here."""
        mixed = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._half)
        with mixed, without_cudnn_attention() if self.device.type == "cuda" else nullcontext():
            yield

    def _is_look_due(self) -> bool:
        waited = self.seconds - self._looked >= LOOK_SECONDS or len(self._record) >= LOOK_EVERY
        return bool(self._record) and (waited or self.finished)

    def _is_validation_due(self) -> bool:
        interval = max(VALIDATION_SECONDS, self.spec.seconds / VALIDATIONS, VALIDATION_SHARE * self._validation_seconds)
        return self.finished or self.seconds // interval > self._looked // interval

    def _look(self) -> Progress:
        """What happened since the last look; with a validation where one is due by the time spent."""
        losses, norms = self._require_finite().unbind(1)
        rate = len(self._record) / max(self.seconds - self._looked, 1e-9)
        is_due = self._is_validation_due()
        self._record, self._looked = [], self.seconds
        psnr = self._validate() if is_due else None
        current = learning_rate(self.spec, min(self.seconds / self.spec.seconds, 1.0))
        loss, norm = float(losses.mean()), float(norms.max())
        return Progress(self.step, self.seconds, loss, norm, current, rate, psnr, self.best_psnr)

    def _recorded(self) -> Tensor:
        return torch.stack(self._record).cpu() if self._record else torch.empty(0, 2)

    def _require_finite(self) -> Tensor:
        """The record, (steps, 2); a TrainingError names the first step in it that is not finite."""
        record = self._recorded()
        wrong = (~torch.isfinite(record)).nonzero()
        if not len(wrong):
            return record
        row, column = map(int, wrong[0])
        step = self.step - len(record) + row + 1
        self.resume(load_checkpoint(self.out, self.spec))
        kept = f"What step {self.step} had reached is kept in {self.out}, but would end here again"
        nothing = "Nothing was learnt before it: begin anew, from other weights if any were given"
        what = f"{kept}: start from its weights by --init" if self.step else nothing
        raise TrainingError(
            f"The {('loss', 'gradient')[column]} is {float(record[row, column])} at step {step}",
            f"{what}, with a lower --learning-rate and another --out",
        )

    def _validate(self) -> float:
        network = deploy(self.average)
        psnr = validate(network, self._validation, self.device)
        # Where all come out as well as counts, the one that learnt longest is kept.
        if self.best_psnr is None or psnr > self.best_psnr or psnr == CEILING:
            self.best_psnr, self._best = psnr, network
        elif self._best is None:  # a run that goes wrong costs nothing but its time
            self._best = self._start
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
                start=None if self._best else self._start.state_dict(),
                best=self._best.state_dict() if self._best else None,
                optimizer=self.optimizer.state_dict(),
                generator=self.generator.get_state().cpu(),
                device=self.device.type,
                surroundings=self._surroundings,
                start_psnr=self.start_psnr,
                best_psnr=self.best_psnr,
                record=self._recorded(),
                looked=self._looked,
                validation_seconds=self._validation_seconds,
            ),
        )


def _compiled(network: LIPT, compiler: str) -> Callable[[Tensor], Tensor]:
    # A run has two shapes of batches: told nothing, torch would make the second code for any shape, and slow.
    forward: Any = torch.compile(network, dynamic=False, backend=compiler) if compiler else network  # pyright: ignore[reportUnknownMemberType]
    return cast("Callable[[Tensor], Tensor]", forward)
