"""Sound of a Flash film that begins long after its picture: FFmpeg knows of it alone where it meets it while it probes.

A file is a header and tags, one after the other (Adobe, Video File Format Specification 10.1, annex E).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

_HEADER: Final = 11  # bytes of a tag; behind its content follow four more, which repeat its length
_SOUND: Final = 8
_KIND: Final = 0x1F


def first_sound(path: Path) -> int | None:
    """Where the first tag of sound begins, in bytes; None where there is none, or no tags follow. Raises OSError."""
    about = path.stat()
    return _search(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=16)  # a film is opened several times
def _search(path: Path, size: int, _changed_ns: int) -> int | None:
    with path.open("rb") as file:
        start = file.read(9)
        place = int.from_bytes(start[5:], "big") + 4
        while start[:3] == b"FLV" and place + _HEADER <= size:
            file.seek(place)
            tag = file.read(_HEADER)
            if tag[0] & _KIND == _SOUND:
                return place
            place += _HEADER + int.from_bytes(tag[1:4], "big") + 4
    return None
