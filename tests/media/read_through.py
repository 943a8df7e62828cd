"""A film read to its end: how many pictures it gave, and what is said of it."""

from __future__ import annotations

from pathlib import Path

from lipt_stream.frame import END
from lipt_stream.media.file_source import FileSource


def read_all(path: Path) -> tuple[int, list[str]]:
    source = FileSource(path)
    count = count_rest(source)
    source.close()
    return count, source.notes


def count_rest(source: FileSource) -> int:
    planes = source.format.new_planes()
    return sum(1 for _ in iter(lambda: source.read(planes), END))
