"""Pictures as they are, in the packets of a live sink that takes no encoded ones."""

from __future__ import annotations

from fractions import Fraction

from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live_encoder import LIVE_TIME_BASE


class RawPictures:
    """Stands in a LiveEncoder's place. `format` is 8-bit; a packet holds the planes' bytes, Y, U and V."""

    def __init__(self, format: VideoFormat) -> None:
        if format.bit_depth != 8:
            raise ValueError(f"raw pictures have 8 bits, not {format.bit_depth}")
        self.stream = EncodedStream(
            kind="video",
            codec="rawvideo",
            time_base=LIVE_TIME_BASE,
            width=format.width,
            height=format.height,
            frame_rate=format.frame_rate or Fraction(0),
        )

    def encode(self, planes: Planes, pts: int, duration: int = 0) -> list[EncodedPacket]:
        data = b"".join(plane.tobytes() for plane in planes)
        return [EncodedPacket(kind="video", data=data, pts=pts, dts=pts, duration=duration, is_keyframe=True)]
