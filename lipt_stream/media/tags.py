"""A film's tags (title, artist, ...): which of them hold for another file too, and can be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Tags that describe the old file, its picture's coding or its encoder and would be wrong in the new one.
_STALE: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration", "bps"}
    | {"number_of_frames", "number_of_bytes", "alpha_mode"}
    | {"_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"}
)
# What MP4 and MOV have a place for; other tags are dropped by FFmpeg without a word.
_OF_MP4: Final = frozenset(
    {"title", "artist", "author", "album_artist", "composer", "album", "date", "comment", "genre", "copyright"}
    | {"grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "episode_sort"}
    | {"season_number", "media_type", "hd_video", "gapless_playback", "compilation", "rating", "track", "disc", "tmpo"}
    | {"creation_time", "encoding_tool"}
)


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that hold for the new file too, as text that can be written."""
    read = {readable(key): readable(value) for key, value in tags.items()}
    return {key: value for key, value in read.items() if key.split("-")[0].lower() not in _STALE}


def lost_in_mp4(tags: Mapping[str, str]) -> list[str]:
    """Keys that MP4 and MOV have no place for, in order."""
    return sorted(key for key in kept_tags(tags) if key.lower() not in _OF_MP4)


def readable(text: str) -> str:
    """`text` with bytes that are no UTF-8 (old files, damage) taken for Latin-1, in which all bytes mean something."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode("latin-1")
    return text
