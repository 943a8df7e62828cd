"""Reading EBML (RFC 8794), the layout of Matroska and WebM files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SEGMENT: Final = 0x18538067
TRACKS: Final = 0x1654AE6B
TRACK_ENTRY: Final = 0xAE
VIDEO: Final = 0xE0
UNKNOWN_SIZES: Final = frozenset((1 << 7 * length) - 1 for length in range(1, 9))
"""All bits set: RFC 8794, section 6.2. A file that is written as it is sent says so of its segment."""
HEADER_BYTES: Final = 4096
"""More than a file's first element (which names its kind) and the beginning of the second, its segment, take."""


def walk(data: bytes, position: int = 0) -> Iterator[tuple[int, int, int]]:
    """(identity, where its body starts, where it ends) of each element from `position` on.

    The end may lie behind that of `data`. Stops at what is no element.
    """
    while position + 2 <= len(data):
        identity_length = 9 - data[position].bit_length()
        size_at = position + identity_length
        if identity_length > 4 or size_at >= len(data) or not data[size_at]:
            return
        size_length = 9 - data[size_at].bit_length()
        start = size_at + size_length
        size = int.from_bytes(data[size_at:start], "big") & ((1 << 7 * size_length) - 1)
        yield int.from_bytes(data[position:size_at], "big"), start, start + size
        position = start + size


def inside(data: bytes, *path: int) -> bytes:
    """The body of the first element at `path` (identities from the outermost on); empty where there is none."""
    for identity in path:
        data = next((data[start:end] for found, start, end in walk(data) if found == identity), b"")
    return data
