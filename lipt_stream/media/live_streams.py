"""What the streams of a live source are, before any of them is handed on."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Final

from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoded import EncodedStream
from lipt_stream.media.picture_format import picture_format
from lipt_stream.media.pixels import plan_delivery
from lipt_stream.media.side_data import is_mirrored, side_data_of

TIME_BASE: Final = Fraction(1, 90_000)


def described(video: VideoStream, picture: VideoFrame, *, is_timeless: bool) -> tuple[VideoFormat, list[str]]:
    """The format of a live picture as it is handed on, in 8 bits and 4:2:0, and what that loses or assumes."""
    delivery = plan_delivery(picture.format)
    format, assumed = picture_format(video, picture, delivery, TIME_BASE)
    format = dataclasses.replace(format, pix_fmt="yuv420p")
    notes = [*delivery.notes, *assumed]
    if is_timeless:
        format = dataclasses.replace(format, frame_rate=None)
    if delivery.pix_fmt != "yuv420p":
        notes.append(f"{picture.format.name} is reduced to 8 bits per sample")
    if is_mirrored(side_data_of(picture)):
        format = dataclasses.replace(format, rotation=0)  # FFmpeg's angle is that of pictures not mirrored
        notes.append("how the picture is to be mirrored and turned is not carried over")
    if picture.interlaced_frame:
        notes.append("the video is interlaced and stays so")
    return format, notes


def is_known(stream: AudioStream) -> bool:
    return stream.codec_context is not None  # pyright: ignore[reportUnnecessaryComparison] the stub is too hopeful


def encoded_stream(stream: AudioStream) -> EncodedStream:
    context = stream.codec_context
    return EncodedStream(
        kind="audio",
        codec=context.codec.canonical_name,
        time_base=Fraction(1, context.sample_rate) if context.sample_rate > 0 else TIME_BASE,
        extradata=bytes(context.extradata or b""),
        sample_rate=context.sample_rate,
        channels=context.layout.nb_channels,
    )
