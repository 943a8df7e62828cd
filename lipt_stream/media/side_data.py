"""What a decoder hands out beside a picture, and what of it cannot be said again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, cast

from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

STEREO_LOSS: Final = "that the video is stereoscopic (3D) is not carried over"
LOST_SIDE_DATA: Final[Mapping[str, str]] = MappingProxyType(
    {
        "A53_CC": "closed captions inside the picture are not carried over",
        "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata is not carried over",
        "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata is not carried over",
        "DOVI_METADATA": "Dolby Vision metadata is not carried over",
        "STEREO3D": STEREO_LOSS,
        "SPHERICAL": "that the video is spherical (360 degrees) is not carried over",
        "ICC_PROFILE": "the colour profile (ICC) is not carried over",
        "FILM_GRAIN_PARAMS": "film grain is part of the decoded picture and is not signalled again",
    }
)
"""PyAV's name of the kind -> what is said of it."""

_PLAIN: Final = bytes(4)  # the type in FFmpeg's AVStereo3D, which comes first: AV_STEREO3D_2D


def side_data_of(picture: VideoFrame) -> dict[str, bytes]:
    """Name -> bytes of everything attached to the picture, but a statement that it is plain 2D."""
    try:
        entries = cast(Iterable[SideData], picture.side_data)  # the stub says a dict, but it iterates over values
    except ValueError:
        return {}  # of a kind newer than PyAV's own list, which then tells of none
    found = {entry.type.name: bytes(entry) for entry in entries}
    return {name: data for name, data in found.items() if name != "STEREO3D" or data[:4] != _PLAIN}


def losses(side_data: Mapping[str, bytes], tags: Mapping[str, str]) -> Iterator[str]:
    """What is said of `side_data` on its way into a file; `tags`: the source's, of the picture.

    Stereo that a tag states goes where the tag goes: its own loss is told with it.
    """
    for lost in LOST_SIDE_DATA.keys() & side_data.keys():
        if lost != "STEREO3D" or not is_stereo(tags):
            yield LOST_SIDE_DATA[lost]


def is_stereo(tags: Mapping[str, str]) -> bool:
    """Whether the tags of a picture, as Matroska has them, say that it holds the views of two eyes."""
    return tags.get("stereo_mode", "mono") != "mono"


def is_mirrored(side_data: Mapping[str, bytes]) -> bool:
    """Whether a display matrix (FFmpeg's 9 int32) mirrors the picture: its upper left 2 x 2 then turns it over."""
    matrix = side_data.get("DISPLAYMATRIX", b"")
    if len(matrix) < struct.calcsize("=9i"):
        return False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    return a * d < b * c
