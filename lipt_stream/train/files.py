"""Where the system's errors about what training writes become OutputError."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lipt_stream.errors import OutputError


@contextmanager
def writing(path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}", "Check the folder and its space") from error
