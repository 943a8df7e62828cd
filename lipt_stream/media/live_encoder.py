"""Pictures encoded as they come: each one's packet at once, keyframes by the clock, the rate bounded."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from av.codec.context import Flags
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.stream import VideoStream

from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.encoders import EncoderChoice, new_context, open_encoder, probe_encoder
from lipt_stream.media.pixels import PictureWriter

LIVE_TIME_BASE: Final = Fraction(1, 90_000)
"""What every live picture's time is counted in (the clock of RTP and MPEG-TS)."""

# ultrafast leaves out deblocking and CABAC, which cost x264 hardly any time and the viewer a quarter of his bits.
_X264: Final = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "no-deblock=0:cabac=1"}
_NVENC: Final = {"preset": "p3", "tune": "ull", "rc": "vbr", "zerolatency": "1", "delay": "0"}
LIVE_ENCODERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({"libx264": _X264, "h264_nvenc": _NVENC})
"""The encoders for live pictures, all of H.264, which every sink and every browser takes -> their options."""

_BASELINE: Final = {
    "libx264": {"profile": "baseline", "x264-params": "no-deblock=0"},
    "h264_nvenc": {"profile": "baseline"},
}
_NEVER: Final = str(1 << 30)  # pictures between keyframes: those come by the clock
_ALWAYS: Final = {"bf": "0", "g": _NEVER, "forced-idr": "1"}
_CRF: Final = 23
_BITS_PER_PIXEL: Final = 0.25
_LEAST_BITRATE: Final = 500_000


class LiveEncoder:
    """Encodes pictures of `format` to H.264 without B-frames or look-ahead: a picture's packet comes at once.

    Quality is constant (`crf`, on the encoder's own scale) until the rate reaches `bitrate` (bit/s, held over half a
    second; None: 0.25 bits a pixel at the format's frame rate, 6.9 Mb/s for 1280x720 at 30 fps). A keyframe comes at
    least every `keyframe_seconds` of the pictures' own time; it carries SPS and PPS, as `stream.extradata` does. Times
    pass through as they are, but the rate is bounded as if pictures came at `format.frame_rate`: slower ones take
    less. `is_baseline` keeps to H.264's constrained baseline, all that WebRTC is sure to take (RFC 7742), for a quarter
    more bits.

    Raises SettingsError for an unknown encoder or option, OutputError for a size that it cannot hold, as odd ones.
    `encode` and `finish` are called by one thread, `force_keyframe` by any.
    """

    def __init__(
        self,
        format: VideoFormat,
        *,
        encoder: str = "auto",
        crf: int | None = None,
        bitrate: int | None = None,
        keyframe_seconds: float = 2.0,
        is_baseline: bool = False,
    ) -> None:
        format = dataclasses.replace(format, time_base=LIVE_TIME_BASE)
        choice = _choice(encoder, crf, bitrate or _default_bitrate(format), is_baseline)
        self.encoder = choice.name
        self._context = _opened(choice, format)
        self._headers = bytes(self._context.extradata or b"")
        self._writer = PictureWriter(format, "yuv420p")
        self._keyframe_distance = keyframe_seconds / LIVE_TIME_BASE
        self._keyframe_due: float = 0  # pts
        self._is_keyframe_wanted = True
        self._durations: dict[int, int] = {}  # of pictures inside the encoder, by pts
        self.stream = EncodedStream(
            kind="video",
            codec="h264",
            time_base=LIVE_TIME_BASE,
            extradata=self._headers,
            width=format.width,
            height=format.height,
            frame_rate=format.frame_rate or Fraction(0),
            rotation=format.rotation,
        )

    def force_keyframe(self) -> None:
        """The next picture becomes a keyframe."""
        self._is_keyframe_wanted = True

    def encode(self, planes: Planes, pts: int, duration: int = 0) -> list[EncodedPacket]:
        """The packets that one picture gives: its own. `pts` and `duration` (0 where unknown) in 1/90000 s; `pts`
        increases strictly. The planes are free when this returns. Raises OutputError."""
        picture = self._writer.fill(planes)
        picture.pts, picture.time_base = pts, LIVE_TIME_BASE
        is_keyframe = self._is_keyframe_wanted or pts >= self._keyframe_due
        picture.pict_type = PictureType.I if is_keyframe else PictureType.NONE
        if is_keyframe:
            self._is_keyframe_wanted = False
            self._keyframe_due = pts + self._keyframe_distance
        self._durations[pts] = duration
        try:
            return self._encoded(self._context.encode(picture))
        except AV_ERRORS as error:
            raise OutputError(
                f"{self.encoder} fails at the picture of {float(pts * LIVE_TIME_BASE):.3f} s: {reason(error)}"
            ) from error

    def finish(self) -> list[EncodedPacket]:
        """What the encoder still holds: with these options nothing."""
        return self._encoded(self._context.encode(None))

    def _encoded(self, packets: list[Packet[VideoStream]]) -> list[EncodedPacket]:
        encoded: list[EncodedPacket] = []
        for packet in packets:
            assert packet.pts is not None
            data = bytes(packet)
            encoded.append(
                EncodedPacket(
                    kind="video",
                    data=self._headers + data if packet.is_keyframe else data,
                    pts=packet.pts,
                    dts=packet.pts if packet.dts is None else packet.dts,
                    duration=self._durations.pop(packet.pts),
                    is_keyframe=packet.is_keyframe,
                )
            )
        return encoded


def require_live_encoder(name: str, crf: int | None) -> None:
    """Raises what LiveEncoder would raise for the encoder's name and its quality, before there is a picture."""
    _choice(name, crf, _LEAST_BITRATE, is_baseline=False)


def _default_bitrate(format: VideoFormat) -> int:
    pixels_per_second = format.width * format.height * (format.frame_rate or Fraction(25))
    return max(_LEAST_BITRATE, round(_BITS_PER_PIXEL * pixels_per_second))


def _choice(name: str, crf: int | None, bitrate: int, is_baseline: bool) -> EncoderChoice:
    if name == "auto":
        name = "h264_nvenc" if probe_encoder("h264_nvenc") is None else "libx264"
    if name not in LIVE_ENCODERS:
        raise SettingsError(f"{name} is no encoder for live pictures", f"Use {' or '.join(LIVE_ENCODERS)}.")
    bounds = {"maxrate": str(bitrate), "bufsize": str(bitrate // 2)}
    profile = _BASELINE[name] if is_baseline else {}
    options = {**LIVE_ENCODERS[name], **profile, **_ALWAYS, **bounds}
    return choose_encoder(name, crf=_CRF if crf is None else crf, options=options)


def _opened(choice: EncoderChoice, format: VideoFormat) -> VideoCodecContext:
    context = new_context(choice.name, format, "yuv420p", choice.open_options())
    context.flags |= Flags.global_header
    context.thread_count = 1  # more cut a picture into slices
    try:
        open_encoder(context)
    except AV_ERRORS as error:
        size = f"{format.width}x{format.height}"
        raise OutputError(f"{choice.name} takes no live pictures of {size}: {reason(error)}") from error
    return context
