"""The files of an HLS folder, written here because FFmpeg's muxer does not look whether its own writing succeeds."""

from __future__ import annotations

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

_WRITE: Final = 2  # FFmpeg's AVIO_FLAG_WRITE


class HlsFiles:
    """`open` is for PyAV's `io_open`. What writing raises, on a full disk for one, is raised by the call that muxed.

    Until then FFmpeg goes on: it would name the segment that failed in the playlist, and put an empty playlist in the
    place of the last good one. So a file that failed is removed before FFmpeg renames it, and none is written after.
    """

    def __init__(self) -> None:
        self.has_failed = False

    def open(self, name: str, flags: int, _options: dict[str, str]) -> BinaryIO | HlsFile:
        path = Path(name)
        if not flags & _WRITE:
            # An earlier process's playlist; where there is none an empty one, because PyAV would raise its absence.
            return io.BytesIO(path.read_bytes() if path.exists() else b"")
        if self.has_failed:
            path.unlink(missing_ok=True)  # what a killed process left under this name would be renamed, too
            return io.BytesIO()
        with self.noting_failure():
            return HlsFile(path, self)

    @contextmanager
    def noting_failure(self) -> Generator[None]:
        try:
            yield
        except OSError:
            self.has_failed = True
            raise


class HlsFile:
    """Takes all that it is given, or raises OSError: a raw file may take a part, and FFmpeg would not give the rest."""

    def __init__(self, path: Path, files: HlsFiles) -> None:
        self._path, self._files = path, files
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        with self._files.noting_failure():
            while rest:
                rest = rest[self._file.write(rest) :]
        return len(data)

    def close(self) -> None:
        try:
            with self._files.noting_failure():
                self._file.close()  # a file system of the network may say only now that it is full
        finally:
            if self._files.has_failed:
                self._path.unlink(missing_ok=True)
