"""What FFmpeg knows of a film's picture and PyAV does not hand out.

FFmpeg's Matroska muxer writes it into a track's header: so the header that such a file would have is written to memory,
and read.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import io

import av
from av.video.stream import VideoStream

from lipt_stream.media import ebml
from lipt_stream.media.av_errors import AV_ERRORS


def video_header(stream: VideoStream) -> bytes:
    """The body of Matroska's element Video for `stream`; empty for the codecs that Matroska has no name for."""
    header = io.BytesIO()
    try:
        with av.open(header, "w", format="matroska") as container:
            container.add_stream_from_template(stream, opaque=True)
            container.start_encoding()
    except AV_ERRORS:
        return b""
    return ebml.inside(header.getvalue(), ebml.SEGMENT, ebml.TRACKS, ebml.TRACK_ENTRY, ebml.VIDEO)
