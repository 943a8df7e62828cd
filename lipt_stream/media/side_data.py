"""What a decoder hands out beside a picture, and what of it cannot be said again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, cast

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

LOST_SIDE_DATA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "A53_CC": "closed captions inside the picture are not carried over",
        "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata is not carried over",
        "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata is not carried over",
        "DOVI_METADATA": "Dolby Vision metadata is not carried over",
        "SPHERICAL": "that the video is spherical (360 degrees) is not carried over",
        "ICC_PROFILE": "the colour profile (ICC) is not carried over",
        "FILM_GRAIN_PARAMS": "film grain is part of the decoded picture and is not signalled again",
    }
)
"""PyAV's name of the kind -> what is said of it."""


def side_data_of(picture: VideoFrame) -> dict[str, bytes]:
    """Name -> bytes of everything attached to the picture."""
    try:
        entries = cast(Iterable[SideData], picture.side_data)  # the stub says a dict, but it iterates over values
    except ValueError:
        return {}  # of a kind newer than PyAV's own list, which then tells of none
    return {entry.type.name: bytes(entry) for entry in entries}


def is_mirrored(side_data: Mapping[str, bytes]) -> bool:
    """Whether a display matrix (FFmpeg's 9 int32) mirrors the picture: its upper left 2 x 2 then turns it over."""
    matrix = side_data.get("DISPLAYMATRIX", b"")
    if len(matrix) < struct.calcsize("=9i"):
        return False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    return a * d < b * c
