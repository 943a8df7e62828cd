"""Films among the training data: which files are some, without PyAV; `clips.py` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lipt_stream.train.images import find_files

FILM_SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".ts", ".mpg", ".mpeg"})
MOMENTS: Final = 8
"""Of each film, evenly over its length."""
PICTURES: Final = 8
"""Consecutive ones of a moment; its middle one is restored."""


def find_films(data_dirs: Sequence[Path]) -> list[Path]:
    """Every film in the folders and below, once, by path. InputError where a folder is missing."""
    return find_files(data_dirs, FILM_SUFFIXES)


def is_film(path: Path) -> bool:
    return path.suffix.lower() in FILM_SUFFIXES
