"""Where a film's chroma samples sit between its luma samples, as its bitstream or its container says."""

from __future__ import annotations

from typing import Final

from av.video.stream import VideoStream

from lipt_stream.media import ebml
from lipt_stream.media.track_header import video_header

_COLOUR: Final = 0x55B0
_HORIZONTAL: Final = 0x55B7  # RFC 9559, 5.1.4.1.28.22 and 23: 1 is with the first of two luma samples, 2 between them
_VERTICAL: Final = 0x55B8
_NAMES: Final = {(1, 2): "left", (2, 2): "center", (1, 1): "topleft", (2, 1): "top"}


def stated_siting(stream: VideoStream) -> str | None:
    """FFmpeg's name of the chroma location: "left", "center", "topleft" or "top".

    None where none is stated, and for the rare ones and the codecs that Matroska has no name for.
    """
    colour = ebml.inside(video_header(stream), _COLOUR)
    place = (int.from_bytes(ebml.inside(colour, axis), "big") for axis in (_HORIZONTAL, _VERTICAL))
    return _NAMES.get((next(place), next(place)))
