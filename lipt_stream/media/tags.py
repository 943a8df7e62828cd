"""A film's tags (title, artist, ...) and flags: which of them hold for another file too, and can be written.

What MP4 and MOV have a place for is tried, by writing it to memory and reading it again: FFmpeg drops the rest without
a word, and what it drops differs by container, key and value.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import io
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

import av
from av.stream import Disposition

from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.languages import in_iso_639, in_mov

# Tags that describe the old file, its picture's coding or its encoder and would be wrong in the new one.
_STALE: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration", "bps"}
    | {"number_of_frames", "number_of_bytes", "alpha_mode"}
    | {"_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"}
)
_USUAL_RATE: Final = Fraction(25)
_NONE: Final = MappingProxyType[str, str]({})
_NO_FLAGS: Final = Disposition(0)
_TIMECODE: Final = "timecode"
_TRIED: Final = frozenset({"mp4", "mov"})
# Under which other name FFmpeg reads a tag that MP4 or MOV does hold.
_READ_AS: Final = MappingProxyType({"title": "name", "author": "artist", "encoding_tool": "encoder"})
_IN_OTHER_WORDS: Final = frozenset({"creation_time", "location"})  # a moment and a place can be written in many ways


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that hold for the new file too, as text that can be written."""
    read = {readable(key): readable(value) for key, value in tags.items()}
    return {key: value for key, value in read.items() if key.split("-")[0].lower() not in _STALE}


def of_track(tags: Mapping[str, str]) -> Mapping[str, str]:
    """A track's tags. FFmpeg reads its title in MP4 and MOV as a name, and would write that into none of them."""
    if "name" not in tags or "title" in tags:
        return tags
    return {"title" if key == "name" else key: value for key, value in tags.items()}


def fitting_tags(tags: Mapping[str, str], format: str) -> dict[str, str]:
    """`kept_tags` as FFmpeg's container `format` takes them best."""
    kept = kept_tags(tags)
    if "language" in kept:
        kept["language"] = (in_mov if format == "mov" else in_iso_639)(kept["language"])
    # FFmpeg reads an author as the artist, and the last one wins.
    if format == "mov" and "artist" in _in_small_letters(kept):
        kept = {key: value for key, value in kept.items() if key.lower() != "author"}
    return kept


def timecode_in(tags: Mapping[str, str]) -> str | None:
    """The hour, minute, second and picture at which a film begins, as its maker counts."""
    return _in_small_letters(tags).get(_TIMECODE)


def without_timecode(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key.lower() != _TIMECODE}


def lost_tags(
    tags: Mapping[str, str], format: str, *, of_stream: bool = False, rate: Fraction | None = None
) -> list[str]:
    """Keys of `kept_tags`, of a film or `of_stream`, that FFmpeg's container `format` does not hold, in order.

    `rate`: of the film's pictures, with which some timecodes do not go.
    """
    kept, fitting = kept_tags(tags), fitting_tags(tags, format)
    if format not in _TRIED or not kept:
        return []
    of_film, of_picture = (_NONE, fitting) if of_stream else (fitting, _NONE)
    read, _ = _written_and_read(format, rate or _USUAL_RATE, of_film, of_picture)
    return sorted(key for key, value in kept.items() if not _is_in(read, key, fitting.get(key, value)))


def lost_flags(flags: Disposition, format: str) -> list[str]:
    """Names of those `flags` of a stream that FFmpeg's container `format` does not hold, in order."""
    if format not in _TRIED or not flags:
        return []
    _, read = _written_and_read(format, flags=flags)
    return sorted(flag.name for flag in Disposition if flags & flag & ~read and flag.name)


def _is_in(read: Mapping[str, str], key: str, value: str) -> bool:
    if key == "language" and value == "und":
        return True  # which says nothing
    plain = key.lower().split("-")[0]  # FFmpeg reads some tags twice, once with a language behind
    if plain in _IN_OTHER_WORDS:
        return plain in read
    return value in (read.get(name) for name in (key.lower(), plain, _READ_AS.get(plain, plain)))


def _written_and_read(
    format: str,
    rate: Fraction = _USUAL_RATE,
    of_film: Mapping[str, str] = _NONE,
    of_picture: Mapping[str, str] = _NONE,
    flags: Disposition = _NO_FLAGS,
) -> tuple[dict[str, str], Disposition]:
    """The tags, with keys in small letters, and the flags that are read again of those written.

    A timecode of the film is read as its picture's.
    """
    film = io.BytesIO()
    try:
        with av.open(film, "w", format=format, options={"movflags": "empty_moov"}) as target:
            picture = target.add_stream("mjpeg", rate)
            picture.width = picture.height = 16
            picture.pix_fmt = "yuvj420p"
            picture.metadata.update(of_picture)
            picture.disposition = flags
            target.metadata.update(of_film)
            target.start_encoding()
        film.seek(0)
        with av.open(film, metadata_errors="surrogateescape") as source:
            picture = source.streams.video[0]
            return _in_small_letters(picture.metadata | source.metadata), picture.disposition
    except AV_ERRORS:
        return {}, _NO_FLAGS


def _in_small_letters(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def readable(text: str) -> str:
    """`text` with bytes that are no UTF-8 (old files, damage) taken for Latin-1, in which all bytes mean something."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode("latin-1")
    return text
