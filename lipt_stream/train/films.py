"""Films among the training data: which files are some, without PyAV; `clips.py` reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILM_SUFFIXES: Final = frozenset({".mp4", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".ts", ".mpg", ".mpeg"})
MOMENTS: Final = 8
"""Of each film, evenly over its length."""
PICTURES: Final = 8
"""Consecutive ones of a moment; its middle one is restored."""


def is_film(path: Path) -> bool:
    return path.suffix.lower() in FILM_SUFFIXES
