"""Text subtitles re-written from one codec to another, where a container does not hold the first."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

TEXT_CODECS: Final = frozenset(
    {"ass", "ssa", "subrip", "srt", "webvtt", "mov_text", "text", "microdvd", "sami", "realtext", "stl", "subviewer"}
)
"""Codecs whose packets are words. The others are pictures (PGS, VobSub, DVB) and cannot be converted."""

TEXT_CODEC_OF: Final[Mapping[str, str]] = MappingProxyType(
    {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip", "webm": "webvtt"}
)
"""FFmpeg's name of a container -> the text codec that is written into it where a film's own does not fit."""

_MILLISECOND: Final = Fraction(1, 1_000)


class SubtitleConverter:
    """One stream's packets through FFmpeg's decoder and encoder: words and times stay, fonts and places may not.

    Bold, italic and underlined survive where both codecs know them. The gaps between mov_text samples, which that
    codec fills with empty ones, are filled by FFmpeg's muxer.
    """

    def __init__(self, source: Stream, container: OutputContainer) -> None:
        """Adds a stream of the container's text codec. Raises what av raises."""
        decoder = source.codec_context
        assert isinstance(decoder, SubtitleCodecContext)
        decoder.open(strict=False)  # only then the header of styles is there, which the encoder starts from
        target = container.add_stream(TEXT_CODEC_OF[container.format.name])
        assert isinstance(target, SubtitleStream)
        encoder = target.codec_context
        assert isinstance(encoder, SubtitleCodecContext)
        encoder.subtitle_header = decoder.subtitle_header
        encoder.time_base = target.time_base = _MILLISECOND
        self.target = target
        self._decoder = decoder
        self._encoder = encoder

    def convert(self, packet: Packet[Stream] | None) -> list[Packet[Stream]]:
        """The same words at the same time; none for a packet without words, and at the end. Raises what av raises."""
        words = None if packet is None else self._decoder.decode2(packet)
        if packet is None or words is None or not len(words):
            return []
        converted: Packet[Stream] = self._encoder.encode_subtitle(words)
        converted.pts, converted.dts, converted.duration = packet.pts, packet.dts, packet.duration
        converted.time_base = packet.time_base
        return [converted]
