"""One stream on its way from a source into a result: its packets' times, and what a muxer asks of them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from av.bitstream import BitStreamFilterContext
from av.format import Flags
from av.packet import Packet
from av.stream import Stream

from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.container_fit import codec_name
from lipt_stream.media.decoder import hear, show
from lipt_stream.media.holes import HoleFiller
from lipt_stream.media.pcm import PcmConverter
from lipt_stream.media.subtitles import SubtitleConverter
from lipt_stream.media.timeline import FileClock

_LONGEST_DURATION: Final = 2**31 - 1
_GOES_ON_SECONDS: Final = Fraction(1, 2)
_LONGEST_WAIT: Final = 500  # packets
_TIME_MAY_STAND_STILL: Final = Flags.ts_nonstrict.value
_PAUSE: Final = bytes(2)  # mov_text of no length, between one line and the next, which FFmpeg's muxer adds by itself


@dataclass(slots=True)
class Lane:
    """Where the packets of a copied stream go, and through what. `damaged` counts those that could not be written;
    `changes` those from which on the stream's codec has another header than at its beginning; `mended` those whose time
    was wrong; `overlaps` subtitles that begin before the last one has ended."""

    target: Stream
    header: bytes = b""
    converter: SubtitleConverter | PcmConverter | None = None
    header_remover: BitStreamFilterContext | None = None
    filler: HoleFiller | None = None
    damaged: int = 0
    changes: int = 0
    mended: int = 0
    overlaps: int = 0
    _shown_to: int = 0  # of the subtitles so far, in the result
    _last_dts: int | None = None
    _offset: Fraction = Fraction(0)
    _jumps: int = 0  # of the file's clock, when the offset was taken from it
    _end: Fraction | None = None  # of the last packet, on the file's own clock

    @property
    def read_to(self) -> Fraction | None:
        """Where the last packet ends, in seconds on a clock that goes on; None before the first."""
        return None if self._end is None else self._end + self._offset

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come for the target."""
        return self._last_dts is None

    def has_jumped_first(self, packet: Packet[Stream], clock: FileClock) -> bool:
        """Whether this sound jumps, and the picture has not done so yet."""
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return False
        seconds = time * packet.time_base
        return self._goes_back_first(seconds, clock) or self._leaps_first(seconds, clock)

    def _goes_back_first(self, seconds: Fraction, clock: FileClock) -> bool:
        return self._is_before_jump(clock) and seconds < (self._end or 0) - _GOES_ON_SECONDS

    def _leaps_first(self, seconds: Fraction, clock: FileClock) -> bool:
        goes_on = abs(seconds - (self._end or 0)) <= _GOES_ON_SECONDS
        return self._is_before_jump(clock) and not goes_on and clock.is_far_behind(seconds)

    def _is_before_jump(self, clock: FileClock) -> bool:
        """Whether nothing is known that would move this sound. Subtitles may overlap."""
        return self._end is not None and self._jumps >= clock.jumps and self.target.type == "audio"

    def set_clock(self, packet: Packet[Stream], clock: FileClock) -> bool:
        """Moves the packet's times to where they are after the jumps of the file's clock. False: it has no time.

        Near a jump the streams of a file are mixed: a packet that goes on where its stream's last one ended still
        belongs to what came before. One that goes back though the picture never does is put behind that end.
        """
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return False
        seconds = time * packet.time_base
        if self._end is None:
            self._offset, self._jumps = clock.offset, clock.jumps
        elif self._goes_back_first(seconds, clock):
            self._offset += self._end - seconds
        elif self._jumps > clock.jumps or abs(seconds - self._end) > _GOES_ON_SECONDS:  # a jump was taken back
            self._offset, self._jumps = clock.offset, clock.jumps
        self._end = seconds + (packet.duration or 0) * packet.time_base
        ticks = round(self._offset / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks
        return True

    def converted(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        """The packet as the target's codec wants it; nothing of one without words, or one that is damaged."""
        try:
            if self.converter is not None:
                return self.converter.convert(packet)
            if codec_name(self.target) == "mov_text" and bytes(packet) == _PAUSE:
                return []
            if packet.has_sidedata("new_extradata"):
                self.changes += bytes(packet.get_sidedata("new_extradata")) != self.header
                packet = _without_header(packet)
            return [packet] if self.header_remover is None else _bare(self.header_remover, packet)
        except AV_ERRORS:
            self.damaged += 1
            return []

    def whole(self, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        """`packets`, converted, and the silence between them that the container wants where there is no sound."""
        for packet in packets:
            yield from (packet,) if self.filler is None else self.filler.fill(packet)

    def rest(self) -> Iterator[Packet[Stream]]:
        """What a decoder still holds, and what waits, when all packets were converted."""
        try:
            held = [] if self.converter is None else self.converter.convert(None)
        except AV_ERRORS:
            self.damaged += 1
            held = []
        yield from self.whole(held)
        yield from () if self.filler is None else self.filler.rest()

    def address(self, packet: Packet[Stream], shift_seconds: Fraction, *, is_cut: bool) -> Packet[Stream]:
        """The packet on the result's clock, `shift_seconds` earlier, with decoding times that the muxer takes."""
        is_subtitle = self.target.type == "subtitle"  # never reordered
        if not is_subtitle:
            _refine(packet, self.target.time_base)
        shift = round(shift_seconds / packet.time_base)
        time = packet.pts if packet.pts is not None else packet.dts
        assert time is not None
        start = time - shift
        if is_cut and start < 0:  # a subtitle from before the cut
            packet.duration = max(0, (packet.duration or 0) + start)
            start = 0
        if is_subtitle:
            self.overlaps += start < self._shown_to
            self._shown_to = max(self._shown_to, start + (packet.duration or 0))
        dts = start if packet.dts is None or is_subtitle else packet.dts - shift
        if self._last_dts is not None:
            dts = max(dts, self._last_dts + (0 if is_subtitle else self._least_step(packet.time_base)))
        packet.pts, packet.dts = max(start, dts), dts
        if (packet.duration or 0) > _LONGEST_DURATION:
            packet.duration = 0  # how some writers say "until the next one"; muxers refuse it
        self._last_dts = dts
        packet.stream = self.target
        return packet

    def _least_step(self, unit: Fraction) -> int:
        """How many of `unit` a decoding time must be after the last one. Time may stand still in Matroska, whose tick
        is longer than a packet of TrueHD."""
        is_free = self.target.container.format.flags & _TIME_MAY_STAND_STILL
        return 0 if is_free else max(1, ceil((self.target.time_base or unit) / unit))


def on_one_clock(
    packets: Iterator[Packet[Stream]], picture: int, lanes: Mapping[int, Lane], clock: FileClock
) -> Iterator[tuple[Packet[Stream], Lane]]:
    """The packets that have a lane and a time, on a clock that goes on; `picture` and `lanes` by index of stream.

    Where a recording begins in mid-air, its sound is read before any picture tells that the clock has jumped, and how
    far: it waits for one, or until the picture has come to where it is without a jump.
    """
    waiting: list[Packet[Stream]] = []

    def must_wait(packet: Packet[Stream]) -> bool:
        return lanes[packet.stream_index].has_jumped_first(packet, clock)

    def released() -> Iterator[tuple[Packet[Stream], Lane]]:
        for packet in waiting:
            if lanes[packet.stream_index].set_clock(packet, clock):
                yield packet, lanes[packet.stream_index]
        waiting.clear()

    for packet in _without_wrong_times(_heard(packets, {picture, *lanes}, clock), lanes):
        if packet.stream_index == picture:
            show(clock, packet)
        elif waiting or must_wait(packet):
            waiting.append(packet)
        elif lanes[packet.stream_index].set_clock(packet, clock):
            yield packet, lanes[packet.stream_index]
        if waiting and (len(waiting) > _LONGEST_WAIT or not must_wait(waiting[0])):
            yield from released()
    yield from released()


def _heard(packets: Iterator[Packet[Stream]], wanted: Set[int], clock: FileClock) -> Iterator[Packet[Stream]]:
    """Packets of the streams `wanted`; `clock` hears every sound, also one that is not copied."""
    for packet in packets:
        if packet.stream.type == "audio":
            hear(clock, packet)
        if packet.stream_index in wanted:
            yield packet


def _without_wrong_times(packets: Iterator[Packet[Stream]], lanes: Mapping[int, Lane]) -> Iterator[Packet[Stream]]:
    """Sound that does not go on where its last packet ended waits for the next one. Where that does go on, the time of
    the one between them was wrong, and it is put there. All else passes."""
    ends: dict[int, Fraction] = {}  # of each sound, in seconds
    odd: dict[int, Packet[Stream]] = {}
    for packet in packets:
        index, time = packet.stream_index, packet.dts if packet.dts is not None else packet.pts
        if time is None or index not in lanes or lanes[index].target.type != "audio":
            yield packet
            continue
        seconds, end = time * packet.time_base, ends.get(index)
        waited = odd.pop(index, None)
        if waited is not None and end is not None:
            lasts = (waited.duration or 0) * waited.time_base
            if abs(seconds - end - lasts) <= _GOES_ON_SECONDS:
                _put_at(waited, end)
                lanes[index].mended += 1
            yield waited
        elif end is not None and abs(seconds - end) > _GOES_ON_SECONDS:
            odd[index] = packet
            continue
        ends[index] = seconds + (packet.duration or 0) * packet.time_base
        yield packet
    yield from odd.values()


def _put_at(packet: Packet[Stream], seconds: Fraction) -> None:
    time = round(seconds / packet.time_base)
    packet.pts = None if packet.pts is None else time  # sound is never reordered
    packet.dts = None if packet.dts is None else time


def _refine(packet: Packet[Stream], unit: Fraction | None) -> None:
    """Counts the packet in `unit` where that is shorter than its own: what a muxer's rules then move a time by is
    less than sound lasts, and does not add up."""
    if unit is None or unit >= packet.time_base:
        return
    ratio = packet.time_base / unit
    packet.pts, packet.dts = (None if time is None else round(time * ratio) for time in (packet.pts, packet.dts))
    packet.duration, packet.time_base = round((packet.duration or 0) * ratio), unit


def _bare(header_remover: BitStreamFilterContext, packet: Packet[Stream]) -> list[Packet[Stream]]:
    unit = packet.time_base  # the filter takes all that the packet holds
    bare: list[Packet[Stream]] = header_remover.filter(packet)
    for each in bare:
        each.time_base = unit
    return bare


def _without_header(packet: Packet[Stream]) -> Packet[Stream]:
    """The packet without its codec's header, which some readers hand on with it wherever it comes in the file: a muxer
    would take it for another one, and Matroska's then writes its tracks twice."""
    bare: Packet[Stream] = Packet(bytes(packet))
    bare.pts, bare.dts, bare.duration, bare.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    bare.is_keyframe = packet.is_keyframe
    for side in packet.iter_sidedata():
        if side.data_type != "new_extradata":
            bare.set_sidedata(side)
    return bare


def adts_header_remover(stream: Stream) -> BitStreamFilterContext | None:
    """For AAC whose every packet has a header of its own: Matroska and MP4 keep one for all.

    FFmpeg's MP4 muxer would do so by itself, were its index not delayed.
    """
    is_adts = codec_name(stream) == "aac" and not stream.codec_context.extradata
    return BitStreamFilterContext("aac_adtstoasc", stream) if is_adts else None
