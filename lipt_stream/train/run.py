"""A whole training run: opened, its loop driven, its record and weights written."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch

from lipt_stream.engine.runtimes import torch_has_bfloat16
from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights
from lipt_stream.train.checkpoint import FILE as CHECKPOINT
from lipt_stream.train.checkpoint import Checkpoint, load_checkpoint, require_run
from lipt_stream.train.files import held, writing
from lipt_stream.train.loop import Progress, Trainer
from lipt_stream.train.materials import Materials
from lipt_stream.train.pairs import CACHE_TAG
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import bilinear_start, start_from
from lipt_stream.train.surroundings import digest_of_file, require_same

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

LOG: Final = "log.jsonl"
PAIRS: Final = "pairs"
"""Where a run keeps degraded images, in its own folder, unless it is told another place."""


@dataclass(frozen=True, slots=True)
class Origins:
    """What a run begins with besides its spec and images: a network to start from, and one to learn from, both
    deployed. `digests` tell them from others, by name."""

    start: LIPT | None = None
    teacher: LIPT | None = None
    digests: Mapping[str, str] = field(default_factory=lambda: {"start": "", "teacher": ""})


@contextmanager
def open_run(spec: TrainSpec, out: Path, *, resume: bool) -> Generator[Checkpoint | None]:
    """Where the run in `out` stands; None at its start. Nobody else can open it until this one is closed.

    To be called first: what it refuses costs no reading of images.

    Raises:
        InputError, SettingsError: `resume`, and there is no checkpoint, or it is of another run.
        OutputError: `out` cannot be made or read, is at work, or holds a run already and `resume` was not said.
    """
    if resume:
        require_run(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        there = list(out.iterdir())
    except OSError as error:
        raise OutputError(f"Cannot use the folder {out}: {error.strerror}", "Choose another --out") from error
    with held(out):
        if resume:
            yield load_checkpoint(out, spec)
            return
        if (out / CHECKPOINT).exists():
            raise OutputError(f"{out} holds a run already", "Go on with it by --resume, or choose another --out")
        if any(not _is_of_a_failed_try(path) for path in there):
            raise OutputError(f"{out} is not empty", "Choose another --out")
        yield None


def _is_of_a_failed_try(path: Path) -> bool:
    """What a try leaves that ends before its first checkpoint is no run; its pairs are of use to the next."""
    return path.name in (PAIRS, LOG) or path.suffix == ".part" or (path / CACHE_TAG).exists()


def read_origins(spec: TrainSpec, init: Path | None, teacher: Path | None, *, resumes: bool) -> Origins:
    """To be called before images are read: what it refuses costs nothing. A run that `resumes` starts from nothing.

    Raises:
        WeightsError: `init` or `teacher` cannot be read or does not fit.
        SettingsError: `teacher` is of another scale, task or content, or no larger than what it is to teach without an
            ensemble.
    """
    start = None
    if init and not resumes:
        with _seeded(spec):
            start = start_from(deploy(load_weights(init)[0]), spec.config)
    taught_by = _read_teacher(teacher, spec) if teacher else None
    return Origins(start, taught_by, {"start": digest_of_file(init), "teacher": digest_of_file(teacher)})


def make_trainer(
    spec: TrainSpec,
    materials: Materials,
    out: Path,
    *,
    device: torch.device,
    precision: Precision = "auto",
    compiler: str = "",
    origins: Origins | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trainer:
    """A trainer at its start, which the seed decides, or where the checkpoint left off.

    `compiler`: a backend of torch.compile, none where empty.

    SettingsError where the checkpoint is of a run with other images, another start, teacher or precision.
    """
    origins = origins or Origins()
    half = precision == "bfloat16" or (precision == "auto" and _has_bfloat16(device))
    surroundings = {**materials.digests, **origins.digests, "precision": "bfloat16" if half else "float32"}
    if checkpoint:
        # A run that goes on need not name or have again what it began with.
        surroundings["start"] = surroundings["start"] or checkpoint.surroundings.get("start", "")
        require_same(checkpoint, surroundings, device)
    with _seeded(spec):
        trainer = Trainer(
            spec,
            origins.start or bilinear_start(spec.config),
            materials.batches,
            materials.validation,
            out,
            device=device,
            teacher=origins.teacher,
            half=half,
            compiler=compiler,
            surroundings=surroundings,
        )
    if checkpoint:
        trainer.resume(checkpoint)
    return trainer


def train(trainer: Trainer, stop: Callable[[], bool]) -> Iterator[Progress]:
    """Run the trainer and write LOG beside its checkpoint: a line for each Progress.

    Raises TrainingError where the loss is not finite any more, OutputError where something cannot be written.
    """
    log = trainer.out / LOG
    with writing(log):
        log.touch()
        _forget_after(log, trainer.looked_step)
    for progress in trainer.run(stop):
        line = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
        with writing(log, "Make room and go on with --resume"), log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        yield progress


def write_weights(trainer: Trainer, path: Path, *, licence: str, training_data: str) -> LIPT:
    """Write the network that validated best, deployed, and return it. `scores` holds the validation figure."""
    network = trainer.result()
    spec = trainer.spec
    info = WeightsInfo(
        name=spec.name,
        task=spec.task,
        scale=spec.scale,
        licence=licence,
        training_data=training_data,
        scores={} if trainer.result_psnr is None else {"validation": round(trainer.result_psnr, 3)},
        origin="lipt-stream",
        content=spec.content,
        steps=trainer.step,
        minutes=round(trainer.seconds / 60, 1),
    )
    save_weights(path, network, info)
    return network


@contextmanager
def _seeded(spec: TrainSpec) -> Generator[None]:
    """What is drawn from torch's generator within is decided by the run's seed, and changes nothing outside."""
    with torch.random.fork_rng(devices=()):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(spec.seed)  # pyright: ignore[reportUnknownMemberType]
        yield


def _read_teacher(path: Path, spec: TrainSpec) -> LIPT:
    network, info = load_weights(path)
    if info.scale != spec.scale:
        raise SettingsError(f"{path} enlarges x{info.scale}, and this run x{spec.scale}", "Give a teacher of its scale")
    if info.origin == "lipt-stream" and (info.task, info.content) != (spec.task, spec.content):
        taught, learnt = f"{info.task} of {info.content} pictures", f"{spec.task} of {spec.content} ones"
        raise SettingsError(f"{path} is for {taught}, and this run for {learnt}", "Give a teacher of its kind")
    teacher = deploy(network)
    # Over eight views a network makes a better picture than alone: a smaller one may then be as good as the larger.
    if not spec.distill_ensemble and _parameters(teacher) <= _parameters(LIPT(spec.config, deployed=True)):
        hint = "Give a larger network's, or add --distill-ensemble"
        raise SettingsError(f"{path} is no larger than {spec.model}, and cannot teach it", hint)
    return teacher


def _parameters(network: LIPT) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _has_bfloat16(device: torch.device) -> bool:
    """In hardware: emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # is_bf16_supported() is of the current GPU
    return torch_has_bfloat16()


def _forget_after(log: Path, step: int) -> None:
    """Drop the lines of what was done after the checkpoint, and will be done again."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    part = log.with_name(log.name + ".part")
    part.write_text("".join(line for line in lines if _is_up_to(step, line)), encoding="utf-8")
    part.replace(log)


def _is_up_to(step: int, line: str) -> bool:
    try:
        return line.endswith("\n") and json.loads(line)["step"] <= step
    except (ValueError, LookupError, TypeError):  # a kill or a full disk may leave half of a line
        return False
