"""Pairs to train on: full-size images, and the same as films of poor quality would have shown them, made once.

What is there already is used as it is, without PyAV: a GPU machine that has none is given the pairs.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import torch
from PIL import Image

from lipt_stream.errors import DeviceError, InputError, OutputError
from lipt_stream.train.evaluate import IMAGE_SUFFIXES, Uint8Image, as_rgb, quiet_pillow, read_image
from lipt_stream.train.files import writing
from lipt_stream.train.films import MOMENTS, is_film
from lipt_stream.train.images import Skipped
from lipt_stream.train.recipe import Degradation

_LONGEST_SIDE: Final = 16_383  # of a WebP
_SAMPLE: Final = 2**20
"""Bytes of a film, of its beginning, middle and end each, that with its size tell it from others."""
CACHE_TAG: Final = "CACHEDIR.TAG"
"""Says that a folder is a cache (bford.info/cachedir), which backups pass by, and `train` where it looks for images."""
_TAG_CONTENT: Final = b"Signature: 8a477f597d28d172789f06886806bc55\n# Images that lipt-stream train has degraded\n"
_OWN_NAME: Final = re.compile(r"[0-9a-f]{24}((-original)?\.webp|\.count)(\.\d+\.part)?")
VERSION: Final = 1
"""Part of every cached picture's key: raise it when the same recipe comes out otherwise."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A full-size image and the file of its degraded low resolution."""

    hr_path: Path
    lr_path: Path

    def read(self, scale: int) -> tuple[Uint8Image, Uint8Image]:
        """Both as RGB: (scale * h, scale * w, 3), cut at the right and bottom to the LR's size, and (h, w, 3), uint8.

        Raises InputError where one cannot be read or they are no pair.
        """
        low, high = as_rgb(read_image(self.lr_path)), as_rgb(read_image(self.hr_path))
        height, width = (side * scale for side in low.shape[:2])
        cut = high[:height, :width]
        if cut.shape[:2] != (height, width):
            raise InputError(f"{self.lr_path} is too large for {self.hr_path} at x{scale}", "Make the pairs again.")
        return cut, low


def make_pairs(
    images: Sequence[Path],
    cache_dir: Path,
    degradation: Degradation,
    *,
    per_image: int = 1,
    seed: int = 0,
    workers: int = 1,
    skipped: Callable[[Skipped], None] | None = None,
    done: Callable[[int, int], None] = lambda _done, _of: None,
) -> list[Pair]:
    """Degrade whole images, `per_image` times each, into lossless WebP files; those already there are used again. Of a
    film among `images` some moments are, with their originals beside them (films.py, clips.py).

    A file's name tells the content of the image, the degradation and the seed, so that a changed image or setting gives
    another file, and a run that was stopped goes on where it was. Files appear under their names only when whole; one
    that was damaged later is made again. Images that cannot be read are left out: `skipped` is told of each, or a
    warning is given. With `workers` above 1 as many processes share the work. `done` is told after each image how many
    are done, and of how many.

    Returns the pairs in order of `images`. Raises InputError where none of them can be read, OutputError where the
    cache cannot be written or holds other files.
    """
    _open_cache(cache_dir)
    tasks = [_Task(path, cache_dir, degradation, per_image, seed) for path in images]
    pairs: list[Pair] = []
    failures: list[Skipped] = []
    for number, result in enumerate(_carried_out(tasks, workers), 1):
        done(number, len(tasks))
        made, failure = result
        pairs += made
        if failure:
            (skipped or _warn)(failure)
        if failure and not made:
            failures.append(failure)
    if failures and not pairs:
        raise InputError(f"None of {len(images)} images can be used: {failures[0].reason}", "Give others")
    return pairs


def _open_cache(folder: Path) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        is_tagged = (folder / CACHE_TAG).exists()
        # Backups pass by a tagged folder whole, so that none is tagged that holds anything else.
        foreign = [
            path.name
            for path in folder.iterdir()
            if not (_OWN_NAME.fullmatch(path.name) or path.name.startswith(CACHE_TAG))
            and (not is_tagged or path.suffix.lower() in IMAGE_SUFFIXES)
        ]
    if foreign:
        raise OutputError(f"{folder} holds what is no pair, such as {min(foreign)}", "Give another --pairs")
    if not is_tagged:
        _write_whole(folder / CACHE_TAG, lambda part: part.write(_TAG_CONTENT))


_Made: TypeAlias = tuple[list[Pair], Skipped | None]
"""What became of one image or film, and what is to be said of it."""


@dataclass(frozen=True, slots=True)
class _Task:
    """One image's share of `make_pairs`: what a worker is sent."""

    path: Path
    cache_dir: Path
    degradation: Degradation
    per_image: int
    seed: int


def _carried_out(tasks: Sequence[_Task], workers: int) -> Iterable[_Made]:
    if workers == 1:
        yield from map(_pairs_of, tasks)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_work)
    try:
        with _born_deaf_to_interrupts():
            results = pool.map(_pairs_of, tasks)
        yield from results
    except BrokenProcessPool as error:
        hint = "Give it more memory, or smaller images; what was made is used again"
        raise DeviceError("A process that made pairs was killed, most likely for want of memory", hint) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _born_deaf_to_interrupts() -> Generator[None]:
    """Ctrl-C, which a terminal sends to all, is the parent's to answer. Processes that begin in here never hear it, not
    even during the seconds in which they import; the parent hears it at the end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_work() -> None:
    """In each worker; a parent that was killed must not leave it waiting."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    quiet_pillow()
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _pairs_of(task: _Task) -> _Made:
    try:
        if is_film(task.path):
            return _film_pairs(task)
        content = task.path.read_bytes()
        targets = [_target(task, content, variant) for variant in range(task.per_image)]
        missing = [target for target in targets if not _is_whole(target[1])]
        if missing:
            image = read_image(task.path)
            for seed, target in missing:
                _write(_degrade(image, task.degradation, seed), target)
    except InputError as error:
        about = "" if str(task.path) in str(error) else f"{task.path}: "
        return [], Skipped(task.path, f"{about}{error}")
    except OSError as error:
        return [], Skipped(task.path, f"{task.path} cannot be read: {error.strerror}")
    return [Pair(task.path, target) for _, target in targets], None


def _film_pairs(task: _Task) -> _Made:
    """As many as the film has moments; which file is whole tells whether one was made before."""
    content = _sample(task.path)
    targets = [_target(task, content, variant) for variant in range(MOMENTS)]
    pairs = [Pair(low.with_name(f"{low.stem}-original.webp"), low) for _, low in targets]
    done = targets[0][1].with_suffix(".count")
    count, of = _count_in(done)
    if not count or not all(_is_whole(path) for pair in pairs[:count] for path in (pair.hr_path, pair.lr_path)):
        count, of = _make_moments(task, [seed for seed, _ in targets], pairs)
        _write_whole(done, lambda part: part.write(f"{count} of {of}".encode()))
    cut_off = f"{task.path} is damaged or cut off: only {count} of its {of} moments could be taken"
    return pairs[:count], Skipped(task.path, cut_off) if count < of else None


def _sample(film: Path) -> bytes:
    """What tells it from others; all of it would take minutes to read."""
    with film.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        taken = [str(size).encode()]
        for place in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
            file.seek(max(place, 0))
            taken.append(file.read(_SAMPLE))
    return b"".join(taken)


def _count_in(done: Path) -> tuple[int, int]:
    """The moments that were made, and of how many; (0, 0) where nothing was written or it is damaged."""
    text = done.read_text(errors="replace") if done.exists() else ""
    found = re.fullmatch(r"(\d) of (\d)", text, re.ASCII)
    count, of = (int(found[1]), int(found[2])) if found else (0, 0)
    return (count, of) if count <= of <= MOMENTS else (0, 0)


def _make_moments(task: _Task, seeds: Sequence[int], pairs: Sequence[Pair]) -> tuple[int, int]:
    try:
        from lipt_stream.train.clips import middle, moments, planned
        from lipt_stream.train.degrade import degrade_film
    except ModuleNotFoundError as error:
        raise InputError(f"It is not among the pairs, and making it needs {error.name}", "pip install av") from error
    count = 0
    for pictures, seed, pair in zip(moments(task.path, MOMENTS), seeds, pairs, strict=False):
        shown = middle(pictures)
        _write(degrade_film(pictures, shown, task.degradation, seed), pair.lr_path)
        _write(pictures[shown], pair.hr_path)
        count += 1
    return count, planned(task.path, MOMENTS)


def _degrade(image: Uint8Image, degradation: Degradation, seed: int) -> Uint8Image:
    try:
        from lipt_stream.train.degrade import degrade  # it needs PyAV
    except ModuleNotFoundError as error:
        raise InputError(f"It is not among the pairs, and making it needs {error.name}", "pip install av") from error
    return degrade(image, degradation, seed)


def _target(task: _Task, content: bytes, variant: int) -> tuple[int, Path]:
    """The seed of one degradation of one image, and the file of its result: both follow from what goes into it, and
    not from its name, which may be another where the pairs are carried to."""
    facts = repr((VERSION, task.degradation, task.seed, variant)).encode()
    key = hashlib.sha256(facts + hashlib.sha256(content).digest()).hexdigest()
    return int(key[:16], 16), task.cache_dir / f"{key[16:40]}.webp"


def _write(image: Uint8Image, target: Path) -> None:
    if max(image.shape) > _LONGEST_SIDE:
        raise InputError(f"Degraded, it is {max(image.shape)} pixels long, and WebP holds {_LONGEST_SIDE}", "Cut it")
    picture = Image.fromarray(image)
    _write_whole(target, lambda part: picture.save(part, "WEBP", lossless=True, quality=20, method=0))


def _write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    with writing(target):
        try:
            with part.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        read_image(path)
    except InputError:
        return False
    return True


def _warn(skipped: Skipped) -> None:
    warnings.warn(str(skipped), stacklevel=3)
