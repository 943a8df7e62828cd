"""Streams of a DVD's files that begin long after the film: FFmpeg knows of those alone that it meets while it probes.

A program stream (ISO/IEC 13818-1; .vob, .mpg) has no list of its streams: each is there from its first packet on. And
a film's first subtitle comes minutes after its first picture.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SECTOR: Final = 2048  # bytes of a pack on a DVD, and as FFmpeg writes them
_BLOCK: Final = 16 * 2**20
_WINDOW: Final = 2**20  # of each block that lies beyond MOST_PROBED
MOST_PROBED: Final = 256 * 2**20
"""Bytes up to the first packet of a stream that is still taken: FFmpeg keeps all that it probes in memory."""
_ENOUGH: Final = 2 * 2**20  # bytes more, from which what a stream holds is learnt
_PRIVATE: Final = 0xBD
_SUBTITLES: Final = range(0x20, 0x40)
_SOUNDS: Final = (*range(0x80, 0x90), *range(0xA0, 0xB0), *range(0x1C0, 0x1E0))


def probing(path: Path, known: Collection[int]) -> dict[str, str]:
    """FFmpeg's options to find the late streams of `path` too, beside those `known` by their id; none where there are
    none. Raises OSError."""
    return probing_up_to([place for number, place in _first_places(path).items() if number not in known])


def probing_up_to(places: Iterable[int]) -> dict[str, str]:
    """FFmpeg's options to find what begins at these places of a file, in bytes, save beyond MOST_PROBED."""
    near = [place for place in places if place < MOST_PROBED]
    return {"probesize": str(max(near) + _ENOUGH), "analyzeduration": str(2**40)} if near else {}


def begins_too_late(path: Path, known: Collection[int]) -> list[str]:
    """Of each stream that is not among the `known`, what it holds, in words. Raises OSError."""
    late = [number for number in _first_places(path) if number not in known]
    return ["subtitles" if number in _SUBTITLES else "sound" for number in sorted(late)]


def _first_places(path: Path) -> dict[int, int]:
    """Where each stream of sound or subtitles begins, in bytes, by FFmpeg's id for it; empty for other files."""
    with path.open("rb") as file:
        if file.read(5)[:4] != b"\x00\x00\x01\xba":
            return {}
    about = path.stat()
    return _search(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=16)  # a film is opened several times
def _search(path: Path, size: int, _changed_ns: int) -> dict[int, int]:
    places: dict[int, int] = {}
    with path.open("rb") as file:
        for start in range(0, size, _BLOCK):
            file.seek(start)
            for number, place in _streams(file.read(_BLOCK if start < MOST_PROBED else _WINDOW)):
                places.setdefault(number, start + place)
    return places


def _streams(data: bytes) -> Iterator[tuple[int, int]]:
    """(id, place) of the first packet of each stream of sound or subtitles among the sectors of `data`."""
    sectors = np.frombuffer(data, np.uint8, len(data) // _SECTOR * _SECTOR).reshape(-1, _SECTOR)
    ids = _ids(sectors)
    for number in np.unique(ids):
        if number in _SUBTITLES or number in _SOUNDS:
            yield int(number), int(np.argmax(ids == number)) * _SECTOR


def _ids(sectors: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Of the first packet of each pack of MPEG-2, as FFmpeg numbers streams; 0 for what is none."""
    is_pack = (sectors[:, :4] == (0, 0, 1, 0xBA)).all(axis=1) & (sectors[:, 4] >> 6 == 1) & (sectors[:, 13] & 7 == 0)
    is_pack &= (sectors[:, 14:17] == (0, 0, 1)).all(axis=1)
    ids = np.where(is_pack, 0x100 + sectors[:, 17].astype(np.int64), 0)
    private = ids == 0x100 + _PRIVATE
    first = 23 + sectors[:, 22].astype(np.int64)  # byte of the payload, which numbers what is private
    inside = np.take_along_axis(sectors, first[:, None], axis=1)[:, 0]
    return np.where(private, inside, ids)
