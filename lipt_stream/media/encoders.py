"""The video encoders that are offered: what each can take, how it is asked for quality, and whether it really works."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from lipt_stream.errors import OutputError
from lipt_stream.frame import UNSPECIFIED, VideoFormat
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.encoder_threads import scheduling_kept

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One encoder. `pix_fmts`: bit depth -> formats to try in turn; the second serves sizes that 4:2:0 cannot."""

    name: str
    codec: str
    pix_fmts: Mapping[int, tuple[str, ...]]
    quality_option: str = ""
    default_crf: int = 0
    max_crf: int = 51
    defaults: Mapping[str, str] = field(default_factory=lambda: _NO_OPTIONS)
    rate_control: frozenset[str] = frozenset({"b", "qp"})
    suffixes: frozenset[str] = frozenset({".mp4", ".m4v", ".mov", ".mkv"})
    max_fps: int = 1000


# Code points of H.273 that x264 and x265 take; the latter does not open with any other, and all others are reserved
# but the primaries 22, EBU Tech 3213.
_KNOWN_PRIMARIES: Final = frozenset({UNSPECIFIED, 1, *range(4, 13)})
_KNOWN_TRANSFERS: Final = frozenset({UNSPECIFIED, 1, *range(4, 19)})
_PLANAR: Final = {8: ("yuv420p", "yuv444p"), 10: ("yuv420p10le", "yuv444p10le")}
_PLANAR_12: Final = {**_PLANAR, 12: ("yuv420p12le", "yuv444p12le")}
_NVENC: Final = {8: ("yuv420p", "yuv444p"), 10: ("p010le",)}
_NVENC_RATE_CONTROL: Final = frozenset({"b", "qp", "rc", "cq"})
_NVENC_DEFAULTS: Final = {"preset": "p4", "rc": "vbr"}
_WEB: Final = frozenset({".mp4", ".m4v", ".mkv", ".webm"})

# The network and the encoder share the same cores, and at a constant quality a faster preset only costs bytes:
# hence the fast presets. The crf defaults aim at the same, visually lossless, quality on each encoder's own scale.
ENCODERS: Final[Mapping[str, EncoderInfo]] = MappingProxyType(
    {
        info.name: info
        for info in (
            EncoderInfo("libx264", "h264", _PLANAR, "crf", 18, 51, {"preset": "veryfast"}),
            EncoderInfo("libx265", "hevc", _PLANAR_12, "crf", 20, 51, {"preset": "veryfast"}),
            EncoderInfo(
                "libsvtav1",
                "av1",
                {8: ("yuv420p",), 10: ("yuv420p10le",)},
                "crf",
                24,
                63,
                {"preset": "9"},
                suffixes=_WEB,
                max_fps=240,
            ),
            EncoderInfo("ffv1", "ffv1", _PLANAR_12, suffixes=frozenset({".mkv"})),
            EncoderInfo("h264_nvenc", "h264", _NVENC, "cq", 19, 51, _NVENC_DEFAULTS, _NVENC_RATE_CONTROL),
            EncoderInfo("hevc_nvenc", "hevc", _NVENC, "cq", 21, 51, _NVENC_DEFAULTS, _NVENC_RATE_CONTROL),
            EncoderInfo("av1_nvenc", "av1", _NVENC, "cq", 26, 63, _NVENC_DEFAULTS, _NVENC_RATE_CONTROL, _WEB),
        )
    }
)

RATE_CONTROL: Final = frozenset(
    key for info in ENCODERS.values() for key in (*info.rate_control, info.quality_option) if key
)
"""Options by which one encoder or another is told how many bits to spend: each takes the place of a crf."""


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """An encoder, its FFmpeg options (defaults and the user's), and its quality; crf None where options set it."""

    name: str
    options: Mapping[str, str] = field(default_factory=lambda: _NO_OPTIONS)
    crf: int | None = None

    @property
    def info(self) -> EncoderInfo:
        return ENCODERS[self.name]

    def open_options(self) -> dict[str, str]:
        """Options as `avcodec_open2` takes them, quality included."""
        quality = {} if self.crf is None else {self.info.quality_option: str(self.crf)}
        return quality | dict(self.options)


def probe_encoder(name: str, options: Mapping[str, str] | None = None, bit_depth: int = 8) -> str | None:
    """None where `name` really opens and encodes a picture; else why not, in FFmpeg's words.

    An encoder that the library lists may still lack its hardware, driver or licence, so only this tells.
    """
    format = VideoFormat(width=256, height=256, frame_rate=Fraction(25), time_base=Fraction(1, 25))
    try:
        context = new_context(name, format, encoder_pix_fmts(name, bit_depth)[0], options or {})
        picture = VideoFrame(format.width, format.height, context.pix_fmt or "yuv420p")
        for plane in picture.planes:
            np.frombuffer(memoryview(plane), np.uint8)[:] = 16
        picture.pts, picture.time_base = 0, format.time_base
        open_encoder(context)
        packet_count = len(context.encode(picture)) + len(context.encode(None))
    except AV_ERRORS as error:
        return reason(error)
    return None if packet_count else "it took a picture and gave nothing back"


def encoder_pix_fmts(name: str, bit_depth: int) -> tuple[str, ...]:
    """Pixel formats to try in turn for `bit_depth`; of the deepest that the encoder has where it cannot hold it."""
    pix_fmts = ENCODERS[name].pix_fmts
    return pix_fmts[bit_depth if bit_depth in pix_fmts else max(depth for depth in pix_fmts if depth < bit_depth)]


def fitting_pix_fmt(choice: EncoderChoice, format: VideoFormat, path: Path) -> tuple[str, list[str]]:
    """The first pixel format with which the encoder opens at this very size and with these very options, and what is
    lost in it, in words. Raises OutputError, naming `path`, where there is none."""
    fitting = pix_fmt_that_opens(choice.name, format, choice.open_options())
    if fitting is not None:
        return fitting, _losses(choice, format, fitting)
    suffix = path.suffix.lower()
    others = [
        info.name
        for info in ENCODERS.values()
        if info.name != choice.name and suffix in info.suffixes and pix_fmt_that_opens(info.name, format, info.defaults)
    ]
    raise OutputError(
        f"Cannot write {path}: {choice.name} does not take pictures of {format.width}x{format.height}",
        f"Give --encoder {' or '.join(others)}." if others else "No encoder for this container does.",
    )


def pix_fmt_that_opens(name: str, format: VideoFormat, options: Mapping[str, str]) -> str | None:
    """The first pixel format with which the encoder `name` opens at this size; None where there is none."""
    for pix_fmt in encoder_pix_fmts(name, format.bit_depth):
        try:
            open_encoder(new_context(name, format, pix_fmt, options))
        except AV_ERRORS:
            continue
        return pix_fmt
    return None


def _losses(choice: EncoderChoice, format: VideoFormat, pix_fmt: str) -> list[str]:
    notes: list[str] = []
    if "444" in pix_fmt:
        size = f"{format.width}x{format.height}"
        notes.append(f"{choice.name} holds the odd size {size} only as 4:4:4, so that is written")
    if format.bit_depth not in choice.info.pix_fmts:
        notes.append(f"{choice.name} cannot hold {format.bit_depth} bits, {pix_fmt} is written")
    for kind, code, known in (
        ("primaries", format.primaries, _KNOWN_PRIMARIES),
        ("transfer", format.transfer, _KNOWN_TRANSFERS),
    ):
        if code and code not in known:
            notes.append(f"encoders do not know the colour {kind} {code} (of H.273): the result does not state it")
    return notes


def new_context(name: str, format: VideoFormat, pix_fmt: str, options: Mapping[str, str]) -> VideoCodecContext:
    """An unopened encoder for pictures of `format`. Raises av.FFmpegError and ValueError."""
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, VideoCodecContext)
    configure(context, format, pix_fmt, options)
    return context


def configure(context: VideoCodecContext, format: VideoFormat, pix_fmt: str, options: Mapping[str, str]) -> None:
    """Sets size, time base, colour and options on an unopened encoder. Its clock is the stream's own: VFR-exact."""
    context.width, context.height, context.pix_fmt = format.width, format.height, pix_fmt
    context.time_base = format.time_base
    rate = format.frame_rate or Fraction(25)  # a hint for rate control only
    context.framerate = min(rate, Fraction(ENCODERS[context.name].max_fps)).limit_denominator(1_000_000)
    context.sample_aspect_ratio = format.sample_aspect_ratio
    context.colorspace = format.color_space
    context.color_range = 2 if format.color_range == "full" else 1
    context.color_primaries = format.primaries if format.primaries in _KNOWN_PRIMARIES else UNSPECIFIED
    context.color_trc = format.transfer if format.transfer in _KNOWN_TRANSFERS else UNSPECIFIED
    siting = {} if "444" in pix_fmt else {"chroma_sample_location": format.chroma_location}
    context.options = siting | _quiet(context.name, options)


def open_encoder(context: VideoCodecContext) -> None:
    """Opens a configured encoder. Raises av.FFmpegError and ValueError."""
    with scheduling_kept():
        context.open()


def _quiet(name: str, options: Mapping[str, str]) -> dict[str, str]:
    """x265 and SVT-AV1 write to the terminal by themselves unless told not to."""
    quiet = dict(options)
    if name == "libx265":
        quiet["x265-params"] = ":".join(filter(None, ["log-level=none", quiet.get("x265-params", "")]))
    elif name == "libsvtav1":
        os.environ.setdefault("SVT_LOG", "0")
    return quiet
