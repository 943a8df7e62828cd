"""Which films the FFmpeg in here can decode: for `lipt-stream doctor`."""

from __future__ import annotations

from typing import Final

import av
from av.error import FFmpegError

# What films come in. A wheel of av has them all; a build from source may lack any.
COMMON_DECODERS: Final = (
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "h263", "theora", "vc1", "wmv3"),
    *("prores", "dnxhd", "ffv1", "mjpeg", "rawvideo"),
)


def missing_decoders() -> list[str]:
    """Which of COMMON_DECODERS this build of FFmpeg cannot open."""
    missing: list[str] = []
    for name in COMMON_DECODERS:
        try:
            av.CodecContext.create(name, "r")
        except (FFmpegError, ValueError):
            missing.append(name)
    return missing
