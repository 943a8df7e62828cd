"""What a film's container asks players to cut off the picture: Matroska's crop, MP4's clean aperture.

FFmpeg's decoders hand out the picture whole, and only its own programs cut it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from av.video.stream import VideoStream

from lipt_stream.media import ebml
from lipt_stream.media.track_header import video_header

# RFC 9559, 5.1.4.1.28.8 to 11: pixels to be removed at each edge.
_EDGES: Final = {"the top": 0x54BB, "the bottom": 0x54AA, "the left": 0x54CC, "the right": 0x54DD}


def cropped_edges(stream: VideoStream) -> dict[str, int]:
    """Such as {"the top": 8, "the bottom": 8}, in pixels; empty where none is stated."""
    header = video_header(stream)
    widths = {edge: int.from_bytes(ebml.inside(header, identity), "big") for edge, identity in _EDGES.items()}
    return {edge: width for edge, width in widths.items() if width}


def in_words(edges: Mapping[str, int]) -> str:
    """Such as "pixels (8 at the top, 8 at the bottom)"."""
    return f"pixels ({', '.join(f'{width} at {edge}' for edge, width in edges.items())})"
