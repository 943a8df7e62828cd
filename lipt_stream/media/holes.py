"""Holes in PCM: MP4 and MOV time it by the number of its samples alone, so what is missing is written as silence."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet open.
from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

from av.audio.codeccontext import AudioCodecContext
from av.packet import Packet
from av.stream import Stream

from lipt_stream.media.container_fit import codec_name

SHORTEST_COPIED: Final = Fraction(1, 100)
"""In seconds. Times are rounded, to milliseconds at worst, and one packet's may jitter a little."""
SHORTEST_DECODED: Final = Fraction(1, 10)
"""In seconds. A packet of WMA begins with the end of a block that began in the one before, of up to 93 ms; FFmpeg's own
resampler mends no less by silence either."""

_LONGEST_SECONDS: Final = 3600  # a time further ahead is taken for a wrong one: its silence could fill a disk
_SILENCE: Final[Mapping[str, bytes]] = MappingProxyType(
    {"pcm_u8": b"\x80", "pcm_mulaw": b"\xff", "pcm_alaw": b"\xd5"}  # of the others, zero
)


class HoleFiller:
    """Silence for one stream of PCM, so that its samples, counted, tell when each is heard.

    It counts from the first packet, so that no rounding and no small hole adds up. Sound that overlaps is left whole:
    it comes late, and the next hole is the shorter for it.
    """

    def __init__(self, codec: str, channels: int, rate: int, shortest: Fraction) -> None:
        """`codec`: FFmpeg's name, which tells the bits of a sample. `shortest`: of the holes that are filled."""
        bits = int("".join(filter(str.isdigit, codec)) or 8)
        self._sample = _SILENCE.get(codec, bytes(1)) * (bits // 8 * channels)
        self._rate = rate
        self._shortest = shortest
        self._begin: int | None = None  # of the first packet, in samples, as all is counted here
        self._samples = 0  # since then
        self._late: Packet[Stream] | None = None  # a packet before which there may be a hole
        self._filled, self._silent = 0, 0  # holes, and the samples in them
        self._closed, self._closed_seconds = 0, Fraction(0)  # holes that were too long

    def notes(self, what: str) -> Iterator[str]:
        """What became of the holes of `what`, the sound."""
        if self._filled:
            silence = f"{self._silent / self._rate:.2f} s of silence"
            yield f"holes in the {what} ({self._filled}) are filled with {silence}, so that what follows stays in time"
        if self._closed:
            yield f"holes in the {what} ({self._closed}) are too long to be filled; what follows comes early"

    def fill(self, packet: Packet[Stream]) -> Iterator[Packet[Stream]]:
        """The packet, and before it the silence that it lacks, in packets of up to a second. Their times are those at
        which they will be heard. One that is late waits for the next: its time alone may be wrong."""
        if self._begin is None:
            self._begin = round(_start(packet) * self._rate)
        if self._late is not None:
            yield from self._released(self._late, packet)
        if self._hole_before(packet) > self._shortest:
            self._late = packet
        else:
            yield self._placed(packet)

    def rest(self) -> Iterator[Packet[Stream]]:
        """What still waits at the end."""
        if self._late is not None:
            yield from self._released(self._late, None)

    def _released(self, late: Packet[Stream], following: Packet[Stream] | None) -> Iterator[Packet[Stream]]:
        self._late = None
        hole = self._hole_before(late)
        if following is not None:
            hole = min(hole, self._hole_before(following) - Fraction(self._samples_of(late), self._rate))
        if hole > _LONGEST_SECONDS:
            self._closed += 1
            self._closed_seconds += hole
        elif hole > self._shortest:
            yield from self._silence(round(hole * self._rate))
        yield self._placed(late)

    def _hole_before(self, packet: Packet[Stream]) -> Fraction:
        """In seconds; less than zero where the packet overlaps what was before it."""
        return _start(packet) - self._closed_seconds - Fraction((self._begin or 0) + self._samples, self._rate)

    def _silence(self, samples: int) -> Iterator[Packet[Stream]]:
        self._filled += 1
        self._silent += samples
        for done in range(0, samples, self._rate):
            packet: Packet[Stream] = Packet(self._sample * min(self._rate, samples - done))
            packet.is_keyframe = True
            yield self._placed(packet)

    def _placed(self, packet: Packet[Stream]) -> Packet[Stream]:
        packet.pts = packet.dts = (self._begin or 0) + self._samples
        packet.duration, packet.time_base = self._samples_of(packet), Fraction(1, self._rate)
        self._samples += packet.duration
        return packet

    def _samples_of(self, packet: Packet[Stream]) -> int:
        return packet.size // len(self._sample)


def _start(packet: Packet[Stream]) -> Fraction:
    time = packet.pts if packet.pts is not None else packet.dts
    assert time is not None
    return time * packet.time_base


def hole_filler(target: Stream, container_name: str, source: Stream) -> HoleFiller | None:
    """For sound that `target` holds as PCM where the container keeps no times for it; None where that is not so."""
    codec, context = codec_name(target), source.codec_context
    if container_name not in ("mp4", "mov") or not codec.startswith("pcm_"):
        return None
    assert isinstance(context, AudioCodecContext)
    shortest = SHORTEST_COPIED if codec == codec_name(source) else SHORTEST_DECODED
    return HoleFiller(codec, context.layout.nb_channels, context.sample_rate, shortest)
