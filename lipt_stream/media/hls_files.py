"""The files of an HLS folder, written here because FFmpeg's muxer does not look whether its own writing succeeds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, Final

_WRITE: Final = 2  # FFmpeg's AVIO_FLAG_WRITE


def open_hls_file(name: str, flags: int, _options: dict[str, str]) -> BinaryIO | HlsFile:
    """For PyAV's `io_open`. What writing raises, on a full disk for one, is raised by the call that muxed."""
    path = Path(name)
    if flags & _WRITE:
        return HlsFile(path)
    # The playlist of an earlier process; where there is none an empty one, because PyAV would raise its absence.
    return io.BytesIO(path.read_bytes() if path.exists() else b"")


class HlsFile:
    """Takes all that it is given, or raises OSError: a raw file may take a part, and FFmpeg would not give the rest."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(data)

    def close(self) -> None:
        self._file.close()
