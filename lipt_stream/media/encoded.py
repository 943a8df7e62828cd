"""Encoded pictures and sound on their way to sinks: what a muxer must know of each stream, and one packet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["video", "audio"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedStream:
    """What a muxer must know before the first packet. The fields of the other kind are 0 or empty.

    `codec` is FFmpeg's name of the codec ("h264", "rawvideo", "aac", "opus", "pcm_alaw"); `extradata` what FFmpeg's
    encoders put there (for H.264: SPS and PPS, Annex B). `time_base` is that of the stream's packets.
    """

    kind: Kind
    codec: str
    time_base: Fraction
    extradata: bytes = b""
    width: int = 0
    height: int = 0
    frame_rate: Fraction = Fraction(0)  # a hint; packets tell their time
    rotation: int = 0  # in degrees, counter-clockwise, for containers that can tell players
    sample_rate: int = 0  # of sound too where it is not known yet, as are the channels
    channels: int = 0

    def is_like(self, other: EncodedStream) -> bool:
        """Whether packets of one stream of sound may go on where those of the other ended. What is not known of one of
        them may be as in the other: how much FFmpeg finds out depends on when it happens to begin to look."""
        known = all(one.sample_rate and one.channels for one in (self, other))
        mine, others = ((one.sample_rate, one.channels) if known else (0, 0) for one in (self, other))
        return (self.kind, self.codec, self.extradata, mine) == (other.kind, other.codec, other.extradata, others)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPacket:
    """One packet. Times count in its stream's time_base, on the session's clock: 0 is where the session began."""

    kind: Kind
    data: bytes
    pts: int
    dts: int
    duration: int  # 0 where unknown
    is_keyframe: bool

    def rescaled(self, now: Fraction, wanted: Fraction) -> EncodedPacket:
        """The same with its times counted in `wanted` instead of `now`."""
        if now == wanted:
            return self
        pts, dts, duration = (round(count * now / wanted) for count in (self.pts, self.dts, self.duration))
        return dataclasses.replace(self, pts=pts, dts=dts, duration=duration)
