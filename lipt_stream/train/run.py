"""A whole training run: its data read, its loop driven, its record, curves, picture and weights written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch

from lipt_stream.engine.runtimes import torch_has_bfloat16
from lipt_stream.errors import InputError, OutputError, SettingsError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights
from lipt_stream.train.batches import BicubicBatches, PairedBatches
from lipt_stream.train.checkpoint import FILE as CHECKPOINT
from lipt_stream.train.checkpoint import Checkpoint, load_checkpoint
from lipt_stream.train.evaluate import IMAGE_SUFFIXES
from lipt_stream.train.files import writing
from lipt_stream.train.films import find_films
from lipt_stream.train.images import PackedImages, Skipped, find_all_images, find_files, read_images
from lipt_stream.train.loop import Batches, Progress, Trainer
from lipt_stream.train.pairs import Pair, make_pairs
from lipt_stream.train.recipe import Degradation
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import bilinear_start, start_from
from lipt_stream.train.surroundings import digest_of_file, digest_of_images, require_same
from lipt_stream.train.validation import ValidationPair, bicubic_pairs, centre

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]

LOG: Final = "log.jsonl"
PAIRS: Final = "pairs"
"""Where a run keeps degraded images, in its own folder, unless it is told another place."""

LEAST_VALIDATION_SIDE: Final = 16  # LR pixels
VALIDATION_SIDE: Final = 160
"""LR pixels of the middle of each validation image that are looked at while training goes on."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What a run learns from and is judged by. `digests` tell both kinds of images from others, by name."""

    batches: Batches
    validation: list[ValidationPair]
    images: int
    skipped: list[Skipped]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a run's files are. `valid` None: a twentieth of `data` is held back. `pairs` keeps degraded images."""

    data: Sequence[Path]
    valid: Path | None
    out: Path
    pairs: Path


def open_run(spec: TrainSpec, out: Path, *, resume: bool) -> Checkpoint | None:
    """Where the run in `out` stands; None at its start. To be called first: what it refuses costs no reading of images.

    Raises:
        InputError, SettingsError: `resume`, and there is no checkpoint, or it is of another run.
        OutputError: `out` cannot be made, or holds a run already and `resume` was not said.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the folder {out}: {error.strerror}", "Choose another --out") from error
    if resume:
        return load_checkpoint(out, spec)
    # What a try that failed before its first checkpoint leaves is no run; its pairs are of use to the next.
    begun = (out / CHECKPOINT).exists()
    if any(begun or (path.name not in (PAIRS, LOG) and path.suffix != ".part") for path in out.iterdir()):
        raise OutputError(f"{out} is not empty", "Go on with what is there by --resume, or choose another --out")
    return None


def load_materials(spec: TrainSpec, folders: Folders, device: torch.device) -> Materials:
    """Read all images onto the device, degrading them first where the spec says so.

    InputError where a folder is missing or holds no usable image (with `degrade` "video": image or film).
    """
    # Of denoise not, which would learn to keep some of the films' own noise.
    films = find_films(folders.data) if spec.degrade == "video" and spec.task != "denoise" else []
    own = {folder.resolve() for folder in (folders.out, folders.pairs)}  # where a run before this one has drawn
    found = find_files(folders.data, IMAGE_SUFFIXES) if films else find_all_images(folders.data)
    paths = [path for path in found if path.resolve().parent not in own]
    valid = find_all_images([folders.valid]) if folders.valid else paths[::20]
    if not valid and films:
        raise InputError("Among the films is no image to validate by", "Give a folder of images by --valid")
    held_back = {path.resolve() for path in valid}
    paths = [path for path in paths if path.resolve() not in held_back]
    if not paths and not films:
        raise InputError("No image is left to train on beside those to validate by", "Give more, or another --valid")
    if spec.degrade == "bicubic":
        return _bicubic(spec, paths, valid, device)
    return _degraded(spec, paths, films, valid, folders.pairs, device)


def make_trainer(
    spec: TrainSpec,
    materials: Materials,
    out: Path,
    *,
    device: torch.device,
    precision: Precision = "auto",
    compiler: str = "",
    init: Path | None = None,
    teacher: Path | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trainer:
    """A trainer at its start, which the seed decides, or where the checkpoint left off; `init` is not read then.

    `compiler`: a backend of torch.compile, none where empty.

    Raises:
        WeightsError: `init` or `teacher` cannot be read or does not fit.
        SettingsError: `teacher` is of another scale, task or content, or the checkpoint of a run with other images,
            another start, teacher or precision.
    """
    taught_by = _teacher(teacher, spec) if teacher else None
    half = precision == "bfloat16" or (precision == "auto" and (device.type == "cuda" or torch_has_bfloat16()))
    surroundings = {
        **materials.digests,
        "start": digest_of_file(init),
        "teacher": digest_of_file(teacher),
        "precision": "bfloat16" if half else "float32",
    }
    if checkpoint:
        # A run that goes on need not name or have again what it began with.
        surroundings["start"] = surroundings["start"] or checkpoint.surroundings.get("start", "")
        require_same(checkpoint, surroundings, device)
    with torch.random.fork_rng(devices=()):  # pyright: ignore[reportUnknownMemberType]
        torch.manual_seed(spec.seed)  # pyright: ignore[reportUnknownMemberType]
        if init and checkpoint is None:
            start = start_from(deploy(load_weights(init)[0]), spec.config)
        else:
            start = bilinear_start(spec.config)
        trainer = Trainer(
            spec,
            start,
            materials.batches,
            materials.validation,
            out,
            device=device,
            teacher=taught_by,
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
        with writing(log), log.open("a", encoding="utf-8") as file:
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
        scores={} if trainer.best_psnr is None else {"validation": round(trainer.best_psnr, 3)},
        origin="lipt-stream",
        content=spec.content,
        steps=trainer.step,
        minutes=round(trainer.seconds / 60, 1),
    )
    save_weights(path, network, info)
    return network


def _bicubic(spec: TrainSpec, paths: list[Path], valid: list[Path], device: torch.device) -> Materials:
    least = BicubicBatches.least_side(max(spec.patch, spec.tail_patch), spec.scale)
    _, images, skipped = read_images(paths, least, _workers())
    _, held_out, not_held_out = read_images(valid, LEAST_VALIDATION_SIDE * spec.scale, _workers())
    batches = BicubicBatches(PackedImages(images, device), spec.scale)
    validation = _middles(bicubic_pairs(held_out, spec.scale), spec.scale)
    digests = {
        "training images": digest_of_images(images),
        "validation images": digest_of_images(pair.high for pair in validation),
    }
    return Materials(batches, validation, len(images), skipped + not_held_out, digests)


def _degraded(
    spec: TrainSpec, paths: list[Path], films: list[Path], valid: list[Path], cache: Path, device: torch.device
) -> Materials:
    degradation = Degradation(task=spec.task, scale=spec.scale)
    skipped: list[Skipped] = []

    def images(of: list[Path], least: int, per_image: int) -> list[ValidationPair]:
        made = make_pairs(
            of, cache, degradation, per_image=per_image, seed=spec.seed, workers=_workers(), skipped=skipped.append
        )
        with ThreadPoolExecutor(_workers()) as pool:
            read = [ValidationPair(low, high) for high, low in pool.map(Pair.read, made, repeat(spec.scale))]
        large = [pair for pair in read if min(pair.low.shape[:2]) >= least]
        for pair, source in zip(read, made, strict=True):
            if min(pair.low.shape[:2]) < least:
                height, width = pair.high.shape[:2]
                reason = f"{source.hr_path} is {width}x{height}, less than a crop of {least * spec.scale}"
                skipped.append(Skipped(source.hr_path, reason))
        if not large:
            raise InputError(f"None of {len(of)} images can be used: {skipped[-1].reason}", "Give larger, sound images")
        return large

    training = images([*paths, *films], max(spec.patch, spec.tail_patch), spec.variants)
    high = PackedImages([pair.high for pair in training], device)
    low = PackedImages([pair.low for pair in training], device)
    batches = PairedBatches(high, low, spec.scale)
    validation = _middles(images(valid, LEAST_VALIDATION_SIDE, 1), spec.scale)
    digests = {
        "training images": digest_of_images(one for pair in training for one in (pair.low, pair.high)),
        "validation images": digest_of_images(one for pair in validation for one in (pair.low, pair.high)),
    }
    return Materials(batches, validation, len(training), skipped, digests)


def _middles(pairs: list[ValidationPair], scale: int) -> list[ValidationPair]:
    return [centre(pair, VALIDATION_SIDE, scale) for pair in pairs]


def _teacher(path: Path, spec: TrainSpec) -> LIPT:
    network, info = load_weights(path)
    if info.scale != spec.scale:
        raise SettingsError(f"{path} enlarges x{info.scale}, and this run x{spec.scale}", "Give a teacher of its scale")
    if info.origin == "lipt-stream" and (info.task, info.content) != (spec.task, spec.content):
        taught, learnt = f"{info.task} of {info.content} pictures", f"{spec.task} of {spec.content} ones"
        raise SettingsError(f"{path} is for {taught}, and this run for {learnt}", "Give a teacher of its kind")
    return deploy(network)


def _forget_after(log: Path, step: int) -> None:
    """Drop the lines of what was done after the checkpoint, and will be done again."""
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = (line for line in lines if line.endswith("}\n"))  # a kill may leave half of one
    kept = "".join(line for line in whole if json.loads(line)["step"] <= step)
    part = log.with_name(log.name + ".part")
    part.write_text(kept, encoding="utf-8")
    part.replace(log)


def _workers() -> int:
    return min(8, os.cpu_count() or 1)
