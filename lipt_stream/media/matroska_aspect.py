"""The shape of pixels, written into a finished Matroska or WebM file.

H.264 and HEVC say it in their own bitstream. AV1 and FFV1 do not, FFmpeg's muxer takes it from a field of the stream
that PyAV cannot set, and so it is put into the Video element here (RFC 9559, sections 5.1.4.1.28.14 and following).
The few bytes that this takes come out of the Void that FFmpeg leaves behind the SeekHead; nothing behind them moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from lipt_stream.media.ebml import SEGMENT, TRACKS, VIDEO, walk

_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_ID: Final = 0x53AB
_SEEK_POSITION: Final = 0x53AC
_VOID: Final = 0xEC
_INFO: Final = 0x1549A966
_TRACK_TYPE: Final = 0x83
_IS_VIDEO: Final = 1
_DISPLAY_WIDTH: Final = 0x54B0
_DISPLAY_HEIGHT: Final = 0x54BA
_DISPLAY_UNIT: Final = 0x54B2
_ASPECT_RATIO: Final = 3  # the unit of the two before it: parts of a ratio, no pixels

MUXER_OPTIONS: Final = {"write_crc32": "0"}
"""What the file must be muxed with: its checksums would not fit what is changed."""

_CODECS: Final = ("av1", "ffv1")
_HEADER_BYTES: Final = 16 * 1024 * 1024  # attachments come behind the tracks; those are small


def is_needed(container: str, codec: str, aspect: Fraction) -> bool:
    """Whether the muxer of `container` (FFmpeg's name) would lose this shape of pixels."""
    return container in ("matroska", "webm") and codec in _CODECS and aspect != 1


@dataclass(frozen=True, slots=True)
class _Element:
    identity: int
    body: bytes

    def encoded(self) -> bytes:
        size = len(self.body)
        length = next(n for n in range(1, 9) if size < (1 << 7 * n) - 1)  # all ones would mean "unknown"
        return _identity_bytes(self.identity) + (size | 1 << 7 * length).to_bytes(length, "big") + self.body


def write_display_aspect(path: Path, display_aspect: Fraction) -> bool:
    """Gives the first picture track of the file its display aspect ratio (width : height as seen).

    Returns False, and changes nothing, where the file is not laid out as FFmpeg does it. Raises OSError.
    """
    with path.open("r+b") as file:
        head = file.read(_HEADER_BYTES)
        changed = _changed(head, display_aspect)
        if changed is None:
            return False
        at, data = changed
        file.seek(at)
        file.write(data)
    return True


def _changed(head: bytes, display_aspect: Fraction) -> tuple[int, bytes] | None:
    """Where to write what: SeekHead, Void, Info and Tracks anew, in as many bytes as before."""
    segment = next((start for identity, start, _ in walk(head) if identity == SEGMENT), None)
    if segment is None:
        return None
    children = walk(head, segment)
    region = [next(children, (0, 0, 0)) for _ in range(4)]
    if [identity for identity, _, _ in region] != [_SEEK_HEAD, _VOID, _INFO, TRACKS] or region[-1][2] > len(head):
        return None
    seek_head, _, info, tracks = (_Element(identity, head[start:end]) for identity, start, end in region)
    new_tracks = _Element(TRACKS, _with_aspect(tracks.body, display_aspect)).encoded()
    end = region[-1][2]
    info_at = end - len(new_tracks) - len(info.encoded())
    moved = {_INFO: info_at - segment, TRACKS: end - len(new_tracks) - segment}
    new_seek_head = _Element(_SEEK_HEAD, _with_positions(seek_head.body, moved)).encoded()
    void_bytes = info_at - segment - len(new_seek_head)
    if void_bytes < 9:
        return None
    void = bytes([_VOID]) + (void_bytes - 9 | 1 << 56).to_bytes(8, "big") + bytes(void_bytes - 9)
    return segment, new_seek_head + void + info.encoded() + new_tracks


def _with_aspect(tracks: bytes, display_aspect: Fraction) -> bytes:
    """The Tracks' body with the display size of the first picture track replaced."""
    entries = list(_elements(tracks))
    for place, entry in enumerate(entries):
        fields = list(_elements(entry.body))
        if any(f.identity == _TRACK_TYPE and int.from_bytes(f.body, "big") == _IS_VIDEO for f in fields):
            fields = [_shaped(f, display_aspect) if f.identity == VIDEO else f for f in fields]
            entries[place] = _Element(entry.identity, b"".join(f.encoded() for f in fields))
            break
    return b"".join(entry.encoded() for entry in entries)


def _shaped(video: _Element, display_aspect: Fraction) -> _Element:
    old = (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT)
    new = (display_aspect.numerator, display_aspect.denominator, _ASPECT_RATIO)
    kept = [field for field in _elements(video.body) if field.identity not in old]
    added = [_Element(identity, _unsigned(value)) for identity, value in zip(old, new, strict=True)]
    return _Element(VIDEO, b"".join(field.encoded() for field in kept + added))


def _with_positions(seek_head: bytes, moved: dict[int, int]) -> bytes:
    """The SeekHead's body with other positions (from the Segment's body on) for some elements."""
    seeks: list[bytes] = []
    for seek in _elements(seek_head):
        fields = {field.identity: field.body for field in _elements(seek.body)} if seek.identity == _SEEK else {}
        target = int.from_bytes(fields.get(_SEEK_ID, b""), "big")
        if target in moved:
            fields[_SEEK_POSITION] = _unsigned(moved[target])
            seek = _Element(_SEEK, b"".join(_Element(i, body).encoded() for i, body in fields.items()))
        seeks.append(seek.encoded())
    return b"".join(seeks)


def _elements(data: bytes) -> Iterator[_Element]:
    return (_Element(identity, data[start:end]) for identity, start, end in walk(data))


def _identity_bytes(identity: int) -> bytes:
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big")


def _unsigned(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
