"""What a run learns from and is judged by: images found, degraded where that is asked for, read onto the device."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from lipt_stream.engine.free_memory import free_bytes, free_host_bytes
from lipt_stream.errors import InputError, SettingsError
from lipt_stream.train.batches import BicubicBatches, PairedBatches
from lipt_stream.train.evaluate import as_rgb, image_size, read_image
from lipt_stream.train.folders import Found, counted, images_alone, require_images, search
from lipt_stream.train.images import PackedImages, Skipped, read_images
from lipt_stream.train.loop import Batches
from lipt_stream.train.pairs import Pair, make_pairs
from lipt_stream.train.recipe import Degradation
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.surroundings import digest_of_images
from lipt_stream.train.validation import ValidationPair, bicubic_middles, centre, middle

T = TypeVar("T")

LEAST_VALIDATION_SIDE: Final = 16  # LR pixels
VALIDATION_SIDE: Final = 160
"""LR pixels of the middle of each validation image that are looked at while training goes on."""
VALIDATION_ROLE: Final = "images to validate by"
HELD_BACK: Final = 20
"""Each how many-th image is validated by where nobody says which are."""
MOST_HELD_BACK: Final = 100

Degraded = Callable[[int, int], None]
"""Told of each image that was degraded: how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Materials:
    """`images` says how many of what there are to learn from. `digests` tell both kinds of images from others, by
    name."""

    batches: Batches
    validation: list[ValidationPair]
    images: str
    skipped: list[Skipped]
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Folders:
    """Where a run's files are. `valid` None: a twentieth of `data` is held back. `pairs` keeps degraded images."""

    data: Sequence[Path]
    valid: Path | None
    out: Path
    pairs: Path


def load_materials(
    spec: TrainSpec, folders: Folders, device: torch.device, degraded: Degraded = lambda _done, _of: None
) -> Materials:
    """Read all images onto the device, degrading them first where the spec says so.

    Raises:
        InputError: a folder is missing or holds no usable image (with `degrade` "video": image or film), or there is no
            memory for all of them.
        SettingsError: `folders.pairs` is among those of the images.
    """
    if spec.degrade == "video" and os.path.realpath(folders.pairs) in map(os.path.realpath, folders.data):
        raise SettingsError(f"--pairs {folders.pairs} is a folder of --data", "Give it a folder of its own")
    found = search(folders.data)
    films = _films_of_use(spec, found)
    if not films:
        require_images(found.images, folders.data)
    own = {os.path.realpath(folder) for folder in (folders.out, folders.pairs)}  # where a try before has drawn
    paths = [path for path in found.images if os.path.realpath(path.parent) not in own]
    sizes = dict(zip(paths, map(image_size, paths), strict=True))
    valid = _given(folders.valid, found.left_out) if folders.valid else _held_back(sizes, spec.scale)
    if not valid and films:
        raise InputError("Among the films is no image to validate by", "Give a folder of images by --valid")
    held_back = {os.path.realpath(path) for path in valid}
    paths = [path for path in paths if os.path.realpath(path) not in held_back]
    if not paths and not films:
        raise InputError("No image is left to train on beside those to validate by", "Give more, or another --valid")
    judged = {path: sizes.get(path) or image_size(path) for path in valid}
    _require_memory({path: sizes[path] for path in paths}, judged, spec, device)
    if spec.degrade == "bicubic":
        return _bicubic(spec, paths, valid, device, found.left_out)
    return _degraded(spec, [*paths, *films], valid, folders.pairs, device, found.left_out, degraded)


def _films_of_use(spec: TrainSpec, found: Found) -> list[Path]:
    if spec.degrade == "video" and spec.task != "denoise":
        return found.films
    if found.films:
        # Denoising would learn to keep some of the films' own noise.
        reason = "left aside by --task denoise" if spec.task == "denoise" else "of use only with --degrade video"
        found.left_out.append(Skipped(found.films[0], f"{counted(len(found.films), 'film')} {reason}"))
    return []


def _given(folder: Path, left_out: list[Skipped]) -> list[Path]:
    """The images to validate by in a folder of their own."""
    found = images_alone(folder, "images are validated by")
    left_out += found.left_out
    return found.images


def _held_back(sizes: Mapping[Path, tuple[int, int]], scale: int) -> list[Path]:
    """A twentieth, evenly, of those that are large enough, but no more than a validation has time for: of each twenty
    the first by which a network can be judged."""
    usable = [path for path, size in sizes.items() if min(size) >= LEAST_VALIDATION_SIDE * scale] or list(sizes)
    groups = [usable[first : first + HELD_BACK] for first in range(0, len(usable), HELD_BACK)]
    few = min(len(groups), MOST_HELD_BACK)
    spread = (groups[number * len(groups) // few] for number in range(few))
    return [next((path for path in group if _judges(path, scale)), group[0]) for group in spread]


def _judges(path: Path, scale: int) -> bool:
    """Whether it can be read, and has more than one colour where a validation looks."""
    try:
        image = as_rgb(read_image(path))
    except InputError:
        return False
    rows, columns = (middle(length // scale, VALIDATION_SIDE, scale) for length in image.shape[:2])
    return not _is_flat(image[rows, columns])


def _require_memory(
    learnt: Mapping[Path, tuple[int, int]],
    judged: Mapping[Path, tuple[int, int]],
    spec: TrainSpec,
    device: torch.device,
) -> None:
    """For images of these sizes, and where real encoders make the LR, for that too; films come on top."""
    pixels, others = (sum(width * height for width, height in sizes.values()) for sizes in (learnt, judged))
    needed = 3 * (pixels + others)
    if spec.degrade == "video":
        needed = round(3 * (pixels * spec.variants + others) * (1 + 1 / spec.scale**2))
    free = min(free_host_bytes(), free_bytes(device))
    if needed > free:
        sizes = {**learnt, **judged}
        largest = max(sizes, key=lambda path: math.prod(sizes[path]))
        width, height = sizes[largest]
        told = f"{counted(len(sizes), 'image')} take {needed / 1e9:.1f} GB when decoded"
        raise InputError(
            f"{told}, and {free / 1e9:.1f} GB are free",
            f"Give fewer or smaller ones; the largest, {largest}, says that it is {width}x{height}",
        )


def _bicubic(
    spec: TrainSpec, paths: list[Path], valid: list[Path], device: torch.device, skipped: list[Skipped]
) -> Materials:
    least = BicubicBatches.least_side(spec.largest_patch, spec.scale)
    side = LEAST_VALIDATION_SIDE * spec.scale
    readable, held_out, not_held_out = read_images(valid, side, _workers(), _least_side(side, VALIDATION_ROLE))
    skipped += not_held_out
    middles = bicubic_middles(held_out, VALIDATION_SIDE, spec.scale)
    flat = _leave_out_flat(readable, middles, skipped)
    held_out, validation = _without(flat, held_out), _without(flat, middles)
    _require_some(validation, len(valid), VALIDATION_ROLE, skipped)
    usable, images, too_bad = read_images(paths, least, _workers(), _least_side(least, "images"))
    skipped += too_bad
    copies, digest = _compared(images, held_out)
    skipped += [_left_out_copy(usable[number]) for number in copies]
    images = _without(copies, images)
    _require_some(images, len(paths), "images", skipped)
    digests = {"training images": digest, "validation images": digest_of_images([pair.high for pair in validation])}
    told = counted(len(images), "image")
    return Materials(BicubicBatches(PackedImages(images, device), spec.scale), validation, told, skipped, digests)


def _degraded(
    spec: TrainSpec,
    sources: list[Path],
    valid: list[Path],
    cache: Path,
    device: torch.device,
    skipped: list[Skipped],
    degraded: Degraded,
) -> Materials:
    degradation = Degradation(task=spec.task, scale=spec.scale)

    def pairs(of: list[Path], least: int, role: str, per_image: int) -> tuple[list[Path], list[ValidationPair]]:
        made = make_pairs(
            of, cache, degradation, per_image=per_image, seed=spec.seed, workers=_workers(), skipped=skipped.append,
            done=degraded,
        )  # fmt: skip
        with ThreadPoolExecutor(_workers()) as pool:
            read = [ValidationPair(low, high) for high, low in pool.map(Pair.read, made, repeat(spec.scale))]
        large: list[tuple[Path, ValidationPair]] = []
        for source, pair in zip((pair.hr_path for pair in made), read, strict=True):
            if min(pair.low.shape[:2]) >= least:
                large.append((source, pair))
            else:
                height, width = pair.high.shape[:2]
                reason = f"{source} is {width}x{height}, less than {_least_side(least * spec.scale, role)}"
                skipped.append(Skipped(source, reason))
        _require_some(large, len(of), role, skipped)
        return [source for source, _ in large], [pair for _, pair in large]

    readable, held_out = pairs(valid, LEAST_VALIDATION_SIDE, VALIDATION_ROLE, 1)
    middles = [centre(pair, VALIDATION_SIDE, spec.scale) for pair in held_out]
    flat = _leave_out_flat(readable, middles, skipped)
    held_out, validation = _without(flat, held_out), _without(flat, middles)
    _require_some(validation, len(valid), VALIDATION_ROLE, skipped)
    origins, training = pairs(sources, spec.largest_patch, "images", spec.variants)
    copies, digest = _compared([pair.high for pair in training], [pair.high for pair in held_out])
    skipped += [_left_out_copy(path) for path in sorted({origins[number] for number in copies})]
    training, origins = _without(copies, training), _without(copies, origins)
    _require_some(training, len(sources), "images", skipped)
    lows, highs = [pair.low for pair in training], [pair.high for pair in training]
    training.clear()
    digests = {
        "training images": digest + digest_of_images(lows),
        "validation images": digest_of_images([one for pair in validation for one in (pair.low, pair.high)]),
    }
    batches = PairedBatches(PackedImages(highs, device), PackedImages(lows, device), spec.scale)
    return Materials(batches, validation, _told(origins, cache, spec.variants), skipped, digests)


def _least_side(side: int, role: str) -> str:
    if role == VALIDATION_ROLE:
        return f"the {side} pixels a side that validating takes"
    return f"the {side} pixels a side that --patch and --tail-patch take at this scale"


def _require_some(usable: Sequence[object], count: int, role: str, skipped: Sequence[Skipped]) -> None:
    if not usable:
        why = f": {skipped[-1].reason}" if skipped else ""
        raise InputError(f"None of {count} {role} can be used{why}", "Give others")


def _compared(images: Sequence[NDArray[np.uint8]], held_out: Sequence[NDArray[np.uint8]]) -> tuple[list[int], str]:
    """Which of `images` show what is validated by, wherever they lie and whatever they are called; and a digest of the
    others."""
    known = {digest_of_images([image]) for image in held_out}
    digests = [digest_of_images([image]) for image in images]
    copies = [number for number, digest in enumerate(digests) if digest in known]
    return copies, hashlib.blake2b("".join(_without(copies, digests)).encode(), digest_size=16).hexdigest()


def _leave_out_flat(paths: Sequence[Path], middles: Sequence[ValidationPair], skipped: list[Skipped]) -> list[int]:
    """Which of the middles, of the images at `paths`, have one colour only; these are added to `skipped`."""
    flat = [number for number, middle in enumerate(middles) if _is_flat(middle.high)]
    told = "has one colour only in its middle, by which no network can be judged"
    skipped += [Skipped(paths[number], f"{paths[number]} {told}") for number in flat]
    return flat


def _is_flat(image: NDArray[np.uint8]) -> bool:
    """Whether it has one colour only: any network scores CEILING on it, and none is told from another."""
    return bool((image == image[0, 0]).all())


def _without(numbers: Sequence[int], items: Sequence[T]) -> list[T]:
    left_out = set(numbers)
    return [item for number, item in enumerate(items) if number not in left_out]


def _left_out_copy(path: Path) -> Skipped:
    return Skipped(path, f"{path} is also validated by")


def _told(origins: Sequence[Path], cache: Path, variants: int) -> str:
    """Such as "500 images, each degraded 2 times, and 16 moments of films", whose originals lie in the cache."""
    stills = {path for path in origins if path.parent != cache}
    moments = len(set(origins) - stills)
    often = f", each degraded {variants} times" if variants > 1 else ""
    told = [counted(len(stills), "image") + often] if stills else []
    told += [f"{counted(moments, 'moment')} of films"] if moments else []
    return (", and " if variants > 1 else " and ").join(told)


def _workers() -> int:
    return min(8, torch.get_num_threads())  # as --threads says
