"""Whether a container can hold a stream as it is: found out by writing a little of it."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream

from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.containers import open_film, packets_of
from lipt_stream.media.decoder import DAMAGE
from lipt_stream.media.pcm import add_pcm_stream, pcm_codec
from lipt_stream.media.subtitles import TEXT_CODECS

_PACKETS_LOOKED_AT: Final = 2_000
_SAMPLES: Final = 4
_MILLISECOND: Final = Fraction(1, 1_000)


class ContainerFit:
    """Answers for the streams of one film.

    FFmpeg's table of codecs and containers is not enough: some are refused when the header is written, some (PCM
    without a channel layout in MP4) when the index at the end is. So each is muxed to memory, sound with one of its
    first packets: some may be damaged.
    """

    def __init__(self, source: Path, streams: Iterable[Stream]) -> None:
        """Reads the beginning of `source`. Raises InputError."""
        self._samples = _first_packets(source, [stream.index for stream in streams if stream.type == "audio"])
        self._known: dict[tuple[str, int], bool] = {}

    def can_hold(self, format: str, stream: Stream) -> bool:
        """Whether FFmpeg's container `format` can hold `stream`, as it is or, for words, converted."""
        is_text = stream.type == "subtitle" and codec_name(stream) in TEXT_CODECS
        return is_text or self.holds_as_it_is(format, stream)

    def holds_as_it_is(self, format: str, stream: Stream) -> bool:
        if stream.type not in ("audio", "subtitle"):
            return True
        key = format, stream.index
        if key not in self._known:
            samples = self._samples.get(stream.index) or [b""]
            self._known[key] = any(_muxes(format, stream, sample) for sample in samples)
        return self._known[key]

    def holds_as_pcm(self, format: str, stream: Stream) -> bool:
        """Whether `stream` is sound that can be decoded, and `format` holds what comes of it."""
        return pcm_codec(stream) is not None and _muxes(format, stream, bytes(64), add_pcm_stream)


def _as_it_is(container: OutputContainer, stream: Stream) -> Stream:
    return container.add_stream_from_template(stream, opaque=True)


def _muxes(
    format: str, stream: Stream, sample: bytes, add: Callable[[OutputContainer, Stream], Stream] = _as_it_is
) -> bool:
    container = av.open(io.BytesIO(), "w", format=format)
    try:
        target = add(container, stream)
        container.start_encoding()
        if sample:
            packet = Packet(sample)
            packet.pts = packet.dts = 0
            packet.duration, packet.time_base, packet.stream = 1, stream.time_base or _MILLISECOND, target
            container.mux_one(packet)
        container.close()
    except AV_ERRORS:
        return False
    return True


def _first_packets(source: Path, indices: list[int]) -> dict[int, list[bytes]]:
    """By index of stream; none for a stream that does not come soon."""
    found: dict[int, list[bytes]] = {}
    if not indices:
        return found
    with open_film(source) as container:
        try:
            for number, packet in enumerate(packets_of(container, [container.streams[index] for index in indices])):
                samples = found.setdefault(packet.stream_index, [])
                if packet.size and len(samples) < _SAMPLES:
                    samples.append(bytes(packet))
                has_all = len(found) == len(indices) and all(len(each) == _SAMPLES for each in found.values())
                if has_all or number > _PACKETS_LOOKED_AT:
                    break
        except DAMAGE:
            return found  # whoever copies the stream will say so
    return found


def has_decoder(stream: Stream) -> bool:
    """Whether the FFmpeg in here can decode `stream`. Of one that it cannot, PyAV tells no codec, and copies none."""
    return stream.codec_context is not None  # pyright: ignore[reportUnnecessaryComparison] the stub is too hopeful


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, "unknown" where it has no decoder."""
    return stream.codec_context.codec.canonical_name if has_decoder(stream) else "unknown"
