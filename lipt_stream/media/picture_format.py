"""The VideoFormat of a stream, as its first picture tells it: headers do not tell size and colour for certain."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lipt_stream.frame import VideoFormat
from lipt_stream.media.color import color_tags
from lipt_stream.media.pixels import Delivery
from lipt_stream.media.siting import stated_siting

_FASTEST_BELIEVABLE_FPS: Final = 1000


def picture_format(
    stream: VideoStream, picture: VideoFrame, delivery: Delivery, time_base: Fraction
) -> tuple[VideoFormat, list[str]]:
    """The format in which `picture` and its like are delivered, and what was assumed of their colour."""
    tags = color_tags(picture, stream.codec_context.codec.canonical_name, stated_siting(stream))
    format = VideoFormat(
        width=picture.width,
        height=picture.height,
        pix_fmt=delivery.pix_fmt,
        color_space=tags.matrix,
        color_range=tags.range,
        primaries=tags.primaries,
        transfer=tags.transfer,
        chroma_location=tags.chroma_location,
        frame_rate=believable_rate(stream),
        time_base=time_base,
        sample_aspect_ratio=_sample_aspect_ratio(stream),
        rotation=picture.rotation,
        gray=delivery.is_gray,
    )
    return format, tags.notes


def believable_rate(stream: VideoStream) -> Fraction | None:
    """The average rate, or FFmpeg's guess; None where neither is believable."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= _FASTEST_BELIEVABLE_FPS:
            return rate
    return None


def _sample_aspect_ratio(stream: VideoStream) -> Fraction:
    ratio = stream.sample_aspect_ratio
    return ratio if ratio and ratio > 0 else Fraction(1)
