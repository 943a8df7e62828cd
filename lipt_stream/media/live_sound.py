"""A live source's sound, made once into what sinks take: AAC or Opus as they are, everything else encoded to AAC."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, Final, Literal

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.packet import Packet

from lipt_stream.errors import InputError
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.encoded import EncodedPacket, EncodedStream

_SAMPLE_RATE: Final = 48_000  # Hz, of sound that is encoded again
_BITS_PER_CHANNEL: Final = 64_000
_ADTS_SYNC: Final = 0xFFF0
_ADTS_HEADER_BYTES: Final = 7


class LiveSound:
    """Converts the packets of `source`; `stream` is what they become.

    `first_data`, the source's first packet, is looked at only for AAC whose every packet has a header of its own
    (ADTS, as in MPEG-TS): those headers are taken off. G.711 of cameras, MPEG audio and all else that FFmpeg decodes
    becomes AAC at 48 kHz, mono or stereo; so does sound of which nothing is known but its codec, because it began after
    FFmpeg had looked at the stream. Raises InputError for a codec that it does not.
    """

    def __init__(self, source: EncodedStream, first_data: bytes = b"") -> None:
        self.stream = source
        self.lost_packets = 0  # damaged ones, and ones of another kind than the stream, which gave no sound
        self.has_changed = False
        """Whether some were of another kind than the stream, such as of more channels."""
        self._transcoder: _Transcoder | None = None
        self._has_adts_headers = False
        is_described = source.sample_rate > 0 and source.channels > 0
        if is_described and (source.codec == "opus" or (source.codec == "aac" and source.extradata)):
            return
        configuration = adts_configuration(first_data) if is_described and source.codec == "aac" else b""
        if configuration:
            self._has_adts_headers = True
            self.stream = dataclasses.replace(source, extradata=configuration)
        else:
            self._transcoder = _Transcoder(source)
            self.stream = self._transcoder.stream

    def convert(self, packet: EncodedPacket) -> list[EncodedPacket]:
        """What `packet` becomes: itself, or up to a few packets of AAC, of which the encoder holds some back (43 ms).

        Times stay in step with the source's clock, across gaps too.
        """
        if self._transcoder:
            try:
                return self._transcoder.convert(packet)
            except AV_ERRORS:
                self.lost_packets += 1
                return []
        if not self._has_adts_headers:
            return [packet]
        configuration = adts_configuration(packet.data)
        if configuration != self.stream.extradata:
            self.has_changed = self.has_changed or bool(configuration)
            self.lost_packets += 1
            return []
        return [dataclasses.replace(packet, data=_without_adts_header(packet.data))]


def adts_configuration(data: bytes) -> bytes:
    """The AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) that an ADTS header (1.A.2.2) tells; empty where `data` begins
    with none, or with one that leaves the channels to the stream."""
    if len(data) < _ADTS_HEADER_BYTES or int.from_bytes(data[:2]) & 0xFFF6 != _ADTS_SYNC:
        return b""
    object_type = (data[2] >> 6) + 1
    frequency = data[2] >> 2 & 0xF
    channels = (data[2] & 1) << 2 | data[3] >> 6
    return (object_type << 11 | frequency << 7 | channels << 3).to_bytes(2) if channels else b""


def _without_adts_header(data: bytes) -> bytes:
    has_checksum = not data[1] & 1
    return data[_ADTS_HEADER_BYTES + 2 * has_checksum :]


class _Transcoder:
    def __init__(self, source: EncodedStream) -> None:
        self._source = source
        channels = min(source.channels or 2, 2)  # of unknown ones, none is to be lost
        self._layout = "mono" if channels == 1 else "stereo"
        try:
            self._decoder = _context(source.codec, "r")
            if source.sample_rate > 0 and source.channels > 0:  # else the packets tell
                self._decoder.sample_rate, self._decoder.layout = source.sample_rate, f"{source.channels}c"
            self._decoder.extradata = source.extradata or None
            self._decoder.open()
            self._encoder = _context("aac", "w")
            self._encoder.sample_rate, self._encoder.layout = _SAMPLE_RATE, self._layout
            self._encoder.format, self._encoder.bit_rate = "fltp", _BITS_PER_CHANNEL * channels
            self._encoder.time_base = Fraction(1, _SAMPLE_RATE)
            self._encoder.flags |= Flags.global_header
            self._encoder.open()
        except AV_ERRORS as error:
            raise InputError(f"Sound of codec {source.codec} cannot be converted: {reason(error)}") from error
        self._last_pts = -math.inf
        self._decoded: tuple[str, str, int] | None = None  # what the resampler is for: format, layout and rate
        self.stream = EncodedStream(
            kind="audio",
            codec="aac",
            time_base=Fraction(1, _SAMPLE_RATE),
            extradata=bytes(self._encoder.extradata or b""),
            sample_rate=_SAMPLE_RATE,
            channels=channels,
        )

    def convert(self, packet: EncodedPacket) -> list[EncodedPacket]:
        """A source's packets may overlap (live_clock.py orders their beginnings alone), and its encoded ones then be
        out of order, for which every container would give up its sink: those are let go."""
        ordered: list[EncodedPacket] = []
        for coded in self._coded(packet):
            if coded.pts > self._last_pts:
                self._last_pts = coded.pts
                ordered.append(coded)
        return ordered

    def _coded(self, packet: EncodedPacket) -> list[EncodedPacket]:
        raw: Packet[Any] = Packet(packet.data)
        raw.pts, raw.dts, raw.time_base = packet.pts, packet.dts, self._source.time_base
        frames = [part for sound in self._decoder.decode(raw) for part in self._resampled(sound)]
        return [self._encoded(coded) for frame in frames for coded in self._encoder.encode(frame)]

    def _resampled(self, sound: AudioFrame) -> list[AudioFrame]:
        sound.time_base = self._source.time_base
        decoded = (sound.format.name, sound.layout.name, sound.sample_rate)
        if decoded != self._decoded:  # what the former one still holds, less than a frame, is let go
            self._resampler = AudioResampler("fltp", self._layout, _SAMPLE_RATE, self._encoder.frame_size)
            self._decoded = decoded
        return self._resampler.resample(sound)

    def _encoded(self, coded: Packet[AudioStream]) -> EncodedPacket:
        assert coded.pts is not None
        return EncodedPacket(
            kind="audio",
            data=bytes(coded),
            pts=coded.pts,
            dts=coded.pts,
            duration=self._encoder.frame_size,
            is_keyframe=True,
        )


def _context(codec: str, mode: Literal["r", "w"]) -> AudioCodecContext:
    context = av.CodecContext.create(codec, "r") if mode == "r" else av.CodecContext.create(codec, "w")
    if not isinstance(context, AudioCodecContext):
        raise ValueError(f"{codec} is no sound")
    return context
