"""The packets of streams that are copied, read for an audit: what is in them, and when."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan
from typing import Final

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from lipt_stream.media.audit_joins import JoinedTimes, JointsBeside, StatedTimes
from lipt_stream.media.audit_text import TEXT_CODECS, words_of
from lipt_stream.media.containers import packets_of

DAMAGE: Final = (FFmpegError, UnicodeDecodeError, MemoryError)
_GIVE_UP_AFTER: Final = 100  # read errors in a row
_PGS_COMPOSITION: Final = 0x16  # the first segment of a picture, which may have a packet of its own, as on a Blu-ray


@dataclass(frozen=True, slots=True)
class PacketTrack:
    """A stream's packets in the order of the file.

    `digests`: 8 bytes of BLAKE2b of each payload; `whole` of all payloads behind each other. Headers that muxers add
    or take away (ADTS) do not count as payload, and packets of text without words not as packets. `seconds`:
    presentation times, nan where there is none; `durations`: in seconds, 0 where not told; `end_seconds`: where the
    last packet ends, nan where no packet has a time.
    """

    digests: tuple[bytes, ...]
    whole: bytes
    seconds: array[float]
    durations: array[float]
    end_seconds: float

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class Track:
    """A stream's packets; `words`: of text, the same without markup, which differs from one text codec to the next."""

    packets: PacketTrack
    words: PacketTrack | None


def read_tracks(container: InputContainer, streams: list[Stream], joins: Sequence[float] | None) -> dict[int, Track]:
    """Of the sound and subtitles `streams`, by index. `joins`: the `offsets` of the pictures, None where the clock must
    not jump."""

    def clock(stream: Stream) -> JoinedTimes | StatedTimes:
        # Subtitles are too far apart for a jump ahead to be told from a pause.
        name = container.format.name if stream.type == "audio" else ""
        return StatedTimes() if joins is None else JoinedTimes(name, JointsBeside(joins))

    builders = {s.index: _TrackBuilder(s, clock(s)) for s in streams}
    texts = [s for s in streams if codec_name(s) in TEXT_CODECS]
    words = {s.index: _TrackBuilder(s, clock(s), words_alone=True) for s in texts}
    if streams:
        for packet in undamaged_packets(container, streams):
            builders[packet.stream_index].add(packet)
            if text := words.get(packet.stream_index):
                text.add(packet)
    return {
        index: Track(builder.finished(), words[index].finished() if index in words else None)
        for index, builder in builders.items()
    }


def undamaged_packets(container: InputContainer, streams: list[Stream] | list[VideoStream]) -> Iterator[Packet[Stream]]:
    """Packets with something in them; reading goes on behind an error."""
    errors_in_a_row = 0
    while errors_in_a_row < _GIVE_UP_AFTER:
        try:
            for packet in packets_of(container, streams):
                if packet.size:
                    errors_in_a_row = 0
                    yield packet
            return
        except DAMAGE:
            errors_in_a_row += 1


class _TrackBuilder:
    def __init__(self, stream: Stream, clock: JoinedTimes | StatedTimes, *, words_alone: bool = False) -> None:
        self._codec = codec_name(stream)
        self._words_alone = words_alone
        self._clock = clock
        self._is_sound = stream.type == "audio"
        context = stream.codec_context
        has_header = context is not None and bool(context.extradata)  # pyright: ignore[reportUnnecessaryComparison]
        self._may_be_adts = self._codec == "aac" and not has_header
        self._whole = hashlib.blake2b(digest_size=8)
        self._digests: list[bytes] = []
        self._payload_so_far = b""  # of the last packet, whose picture the next may go on with
        self._seconds = array("d")
        self._durations = array("d")

    def add(self, packet: Packet[Stream]) -> None:
        data = bytes(packet)
        if self._codec in TEXT_CODECS:
            words = words_of(self._codec, data)
            if not words:
                return  # MP4 fills the gaps between subtitles with empty ones
            data = words if self._words_alone else data
        elif self._may_be_adts:
            data = _without_adts(data)
        self._whole.update(data)
        if self._codec == "hdmv_pgs_subtitle" and self._digests and data[0] != _PGS_COMPOSITION:
            self._payload_so_far += data
            self._digests[-1] = _digest(self._payload_so_far)
            return
        self._payload_so_far = data
        self._digests.append(_digest(data))
        time = packet.pts if packet.pts is not None else packet.dts
        duration = float((packet.duration or 0) * packet.time_base)
        self._seconds.append(nan if time is None else float(time * packet.time_base))
        self._durations.append(duration)

    def finished(self) -> PacketTrack:
        times = self._on_one_clock()
        ends = (time + duration for time, duration in zip(reversed(times), reversed(self._durations), strict=True))
        end = next((end for end in ends if not isnan(end)), nan)
        return PacketTrack(tuple(self._digests), self._whole.digest(), times, self._durations, end)

    def _on_one_clock(self) -> array[float]:
        """Sound whose time is wrong, by the packet behind it, has none. Subtitles may come in any order."""
        times = array("d")
        behind = self._seconds[1:] + array("d", [nan])
        for seconds, duration, following in zip(self._seconds, self._durations, behind, strict=False):
            is_wrong = self._is_sound and self._clock.leaps(seconds) and self._clock.is_wrong(seconds, following)
            times.append(nan if is_wrong else self._clock.follow(seconds, duration))
        return times


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _without_adts(data: bytes) -> bytes:
    if len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return data[7 if data[1] & 1 else 9 :]  # ISO/IEC 14496-3: a checksum makes the header longer
    return data


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, "unknown" where it has no decoder."""
    context = stream.codec_context
    if context is None:  # pyright: ignore[reportUnnecessaryComparison] the stub is too hopeful
        return "unknown"
    return context.codec.canonical_name
