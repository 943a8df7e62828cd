"""Streams of a transport stream (ISO/IEC 13818-1) that begin behind all that FFmpeg looks at.

A recording that another one was joined to, or sound whose PID changes with a film's parts: FFmpeg reads the tables on
the way, and PyAV never learns of what is new in them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SYNC: Final = 0x47
_PACKET: Final = 188
_STRIDES: Final = (188, 192, 204)  # bytes from packet to packet: plain, of Blu-ray discs and cameras, with Reed-Solomon
_PROBED: Final = 1_000  # packets by which the stride is found
_BLOCK: Final = 16 * 2**20
_WHOLE: Final = 256 * 2**20
_WINDOW: Final = 2**20  # of each block beyond the first _WHOLE bytes
_SOUNDS, _PICTURES, _OTHERS = range(0xC0, 0xE0), range(0xE0, 0xF0), (0xBD, 0xFD)  # stream_id, table 2-22


@dataclass(frozen=True, slots=True)
class LateStream:
    """`place`: of its first packet, in bytes of the file."""

    pid: int
    kind: str
    place: int

    def __str__(self) -> str:
        return f"{self.kind} (PID {self.pid}), which begins {self.place / 1e6:.1f} MB into the film"


def late_in_transport(path: Path, known: Collection[int]) -> list[LateStream]:
    """The streams of `path` whose PID is none of the `known`, in the order in which they begin. Of a long file a part
    of each 16 MB is looked at. Raises OSError."""
    about = path.stat()
    found = _search(path, about.st_size, about.st_mtime_ns)
    return sorted((one for one in found if one.pid not in known), key=lambda one: one.place)


@lru_cache(maxsize=16)  # a film is opened several times
def _search(path: Path, size: int, _changed_ns: int) -> tuple[LateStream, ...]:
    found: dict[int, LateStream] = {}
    with path.open("rb") as file:
        for start in range(0, size, _BLOCK):
            file.seek(start)
            data = np.frombuffer(file.read(_BLOCK if start < _WHOLE else _WINDOW), np.uint8)
            for pid, stream_id, place in _beginnings(data):
                if pid not in found:
                    found[pid] = LateStream(pid, _kind(stream_id), start + place)
    return tuple(found.values())


def _kind(stream_id: int) -> str:
    return "sound" if stream_id in _SOUNDS else "pictures" if stream_id in _PICTURES else "sound or subtitles"


def _beginnings(data: NDArray[np.uint8]) -> Iterator[tuple[int, int, int]]:
    """(PID, stream_id, place) of the first packet of each elementary stream among the packets of `data`."""
    offset, stride = _grid(data)
    packets = data[offset : offset + (len(data) - offset) // stride * stride].reshape(-1, stride)[:, :_PACKET]
    pids = (packets[:, 1] & 0x1F).astype(np.int64) << 8 | packets[:, 2]
    begins = (packets[:, 0] == _SYNC) & (packets[:, 1] & 0xC0 == 0x40) & (packets[:, 3] & 0x10 != 0)
    payload = 4 + np.where(packets[:, 3] & 0x20, 1 + packets[:, 4].astype(np.int64), 0)
    begins &= payload <= _PACKET - 4
    first = np.where(begins, payload, 4)[:, None] + np.arange(4)
    head = np.take_along_axis(packets, first, axis=1)
    begins &= (head[:, :3] == (0, 0, 1)).all(axis=1) & np.isin(head[:, 3], (*_SOUNDS, *_PICTURES, *_OTHERS))
    for pid in np.unique(pids[begins]):
        number = int(np.argmax(begins & (pids == pid)))
        yield int(pid), int(head[number, 3]), offset + number * stride


def _grid(data: NDArray[np.uint8]) -> tuple[int, int]:
    """(offset of the first packet, stride) at which most packets begin as they must: a hole moves what is behind it."""
    best, found = -1, (0, _PACKET)
    for stride in _STRIDES:
        rows = min(len(data) // stride, _PROBED)
        hits = (data[: rows * stride].reshape(rows, stride) == _SYNC).sum(axis=0) if rows else np.zeros(1, np.int64)
        share = int(hits.max()) * 1_000 // max(rows, 1)
        if share > best:
            best, found = share, (int(hits.argmax()), stride)
    return found
