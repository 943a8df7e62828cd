"""Pictures through an encoder and back, in memory: what a film of a given quality looks like."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from types import MappingProxyType
from typing import Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from lipt_stream.errors import InputError
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.coding import Coding
from lipt_stream.media.encoders import open_encoder
from lipt_stream.media.pixels import PlaneReader

DECODERS: Final = MappingProxyType(
    {"libx264": "h264", "libx265": "hevc", "libvpx-vp9": "vp9", "mpeg2video": "mpeg2video"}
)
"""Encoders that pictures can be sent through -> what decodes them."""

_ONE_THREAD: Final = {"libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"}}
_RATE: Final = Fraction(24)


def round_trip(pictures: Sequence[Planes], video: VideoFormat, coding: Coding) -> list[Planes]:
    """Encode consecutive pictures of 8-bit `video` and decode them again: as many, in order, of the same format.

    One thread, so that the same pictures give the same result; where lines are no multiple of 128 it may still
    differ, because x264 and x265 read the unwritten memory behind them. Width and height must be even.
    Raises InputError where the encoder refuses the size or its options, or loses a picture.
    """
    try:
        decoded = list(_decoded(pictures, video, coding))
    except AV_ERRORS as error:
        raise InputError(f"{coding.encoder} cannot code pictures of {video}: {reason(error)}") from error
    if len(decoded) != len(pictures):
        raise InputError(f"{coding.encoder} gave {len(decoded)} pictures of {video} back for {len(pictures)}")
    return decoded


def _decoded(pictures: Sequence[Planes], video: VideoFormat, coding: Coding) -> Iterator[Planes]:
    encoder, decoder = _encoder(video, coding), _decoder(coding.encoder)
    reader = PlaneReader(video)
    for picture in chain(_pictures(pictures, video), [None]):  # None: what the encoder still holds
        for packet in encoder.encode(picture):
            yield from (_planes(back, reader, video) for back in decoder.decode(packet))
    yield from (_planes(back, reader, video) for back in decoder.decode(None))


def _pictures(pictures: Sequence[Planes], video: VideoFormat) -> Iterator[VideoFrame]:
    for number, planes in enumerate(pictures):
        picture = VideoFrame(video.width, video.height, "yuv420p")
        for plane, samples in zip(picture.planes, planes, strict=True):
            lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
            lines.reshape(plane.height, plane.line_size)[:, : plane.width] = samples
        picture.pts, picture.time_base = number, 1 / _RATE
        yield picture


def _planes(picture: VideoFrame, reader: PlaneReader, video: VideoFormat) -> Planes:
    planes = video.new_planes()
    reader.copy(picture, planes)
    return planes


def _encoder(video: VideoFormat, coding: Coding) -> VideoCodecContext:
    context = av.CodecContext.create(coding.encoder, "w")
    assert isinstance(context, VideoCodecContext)
    context.width, context.height, context.pix_fmt = video.width, video.height, "yuv420p"
    context.time_base, context.framerate = 1 / _RATE, _RATE
    context.colorspace = video.color_space
    context.color_range = 2 if video.color_range == "full" else 1
    context.thread_count = 1
    if coding.bits_per_pixel is not None:
        context.bit_rate = round(coding.bits_per_pixel * video.width * video.height * _RATE)
    context.options = _ONE_THREAD.get(coding.encoder, {}) | dict(coding.options)
    open_encoder(context)
    return context


def _decoder(encoder: str) -> VideoCodecContext:
    context = av.CodecContext.create(DECODERS[encoder], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1
    return context
