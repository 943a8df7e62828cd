"""What lies in folders of training data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lipt_stream.errors import InputError
from lipt_stream.train.checkpoint import FILE as CHECKPOINT
from lipt_stream.train.evaluate import IMAGE_SUFFIXES, is_special, require_folder
from lipt_stream.train.films import is_film
from lipt_stream.train.images import Skipped
from lipt_stream.train.pairs import CACHE_TAG


@dataclass(slots=True)
class Found:
    """By path, each file once though folders may overlap. `left_out`: folders that cannot be read, earlier runs' and
    caches, what is no regular file, and a line about files of other kinds."""

    images: list[Path] = field(default_factory=list[Path])
    films: list[Path] = field(default_factory=list[Path])
    left_out: list[Skipped] = field(default_factory=list[Skipped])


def search(data_dirs: Sequence[Path]) -> Found:
    """Look through the folders and all below, links to folders among them. InputError where a folder is missing or
    cannot be read."""
    for folder in data_dirs:
        require_folder(folder, "Give a folder of images")
    found, others = Found(), Counter[str]()
    files = {_real(path): path for folder in reversed(data_dirs) for path in _files(folder, found.left_out)}
    for _, path in sorted(files.items()):  # by where they lie, so that a run resumes however its folders are written
        if (path.suffix.lower() in IMAGE_SUFFIXES or is_film(path)) and is_special(path):
            found.left_out.append(Skipped(path, f"{path} is not a regular file"))  # a named pipe would hang
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            found.images.append(path)
        elif is_film(path):
            found.films.append(path)
        else:
            others[path.suffix.lower() or "no suffix"] += 1
    if others:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in others.most_common())
        found.left_out.append(Skipped(data_dirs[0], f"{counted(others.total(), 'file')} of other kinds ({kinds})"))
    return found


def images_alone(folder: Path, of_films: str) -> Found:
    """What lies in a folder where only images are of use: films are left out, `of_films` saying why. InputError where
    it is missing or holds no image."""
    found = search([folder])
    require_images(found.images, [folder])
    if found.films:
        found.left_out.append(Skipped(folder, f"{counted(len(found.films), 'film')} in {folder}: {of_films}"))
    return found


def require_images(found: Sequence[Path], data_dirs: Sequence[Path]) -> None:
    """InputError where nothing was found."""
    if not found:
        named = ", ".join(map(str, data_dirs))
        raise InputError(f"{named} holds no image", "Known suffixes: " + " ".join(sorted(IMAGE_SUFFIXES)))


def counted(count: int, what: str) -> str:
    """ "1 film", "2 films"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _real(path: Path | str) -> str:
    """Where it really lies, as far as links may be read."""
    try:
        return os.path.realpath(path)
    except OSError:  # of another's process, say
        return str(Path(path).absolute())


def _files(folder: Path, left_out: list[Skipped]) -> Iterator[Path]:
    """What an earlier run has drawn or degraded is no material: folders of runs and caches are passed by."""

    def cannot_be_read(error: OSError) -> None:
        left_out.append(Skipped(Path(error.filename), f"{error.filename} cannot be read: {error.strerror}"))

    seen: set[str] = set()  # links may lead in a circle
    for place, below, names in os.walk(folder, onerror=cannot_be_read, followlinks=True):
        if (real := _real(place)) in seen:
            below.clear()
        elif CHECKPOINT in names and Path(place) != folder:
            below.clear()
            left_out.append(Skipped(Path(place), f"{place} is a run's own folder"))
        elif CACHE_TAG in names and Path(place) != folder:
            below.clear()
            left_out.append(Skipped(Path(place), f"{place} is a cache, such as --pairs ({CACHE_TAG} lies in it)"))
        else:
            seen.add(real)
            yield from (Path(place) / name for name in names)
