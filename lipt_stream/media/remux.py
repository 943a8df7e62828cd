"""Everything of a film but its picture, copied without re-encoding: sound, subtitles, chapters, attachments, tags."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.container import InputContainer, OutputContainer
from av.error import InvalidDataError
from av.packet import Packet
from av.stream import AttachmentStream, Stream

from lipt_stream.media.av_errors import reading
from lipt_stream.media.container_fit import codec_name
from lipt_stream.media.containers import CONTAINERS, container_format, open_film
from lipt_stream.media.copy_plan import Unfit, plan_copies
from lipt_stream.media.decoder import has_jumps, main_video, origin_seconds, readable_packets, sounds_for_clock
from lipt_stream.media.holes import hole_filler
from lipt_stream.media.lanes import Lane, adts_header_remover, on_one_clock
from lipt_stream.media.pcm import PcmConverter
from lipt_stream.media.subtitle_pictures import LONGEST_SECONDS, StandingSubtitles, state_duration
from lipt_stream.media.subtitles import SubtitleConverter
from lipt_stream.media.tags import fitting_tags, of_track, readable, timecode_in, without_timecode
from lipt_stream.media.timeline import Cut, FileClock, may_be_joined

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the stubs alone

_INTERLEAVED_SECONDS: Final = 15  # a packet may lie that far from others of its time; FFmpeg's muxers allow for ten
_NEVER: Final = Fraction(2**62)
_LONGEST_PAUSE_SECONDS: Final = 60  # of sound, after which it has ended
_SOON_SECONDS: Final = 2  # so much of a film may be held in memory, and lost by a kill


class StreamCopy:
    """Reads `source` a second time, beside the picture's decoder, and feeds what is not picture to a container.

    Order of use: `attach` before the header is written, `mux_until` as the picture's packets come, `finish` at the end.
    The cut is that of the picture: packets with start <= t < end, moved so that start becomes 0.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        cut: Cut,
        suffixes: Collection[str] = tuple(CONTAINERS),
        unfit: Unfit = "refuse",
    ) -> None:
        """Raises InputError, and OutputError where `target`'s container cannot hold a stream, naming its codec.

        `suffixes`: containers that would suit the picture, for the hint.
        """
        self._source_path = source
        self._cut = cut
        self._source = open_film(source)
        try:
            self._video = main_video(self._source, source)
            self._plan = plan_copies(source, self._source, target, suffixes, unfit)
            self._can_seek = cut.start is not None and not has_jumps(source)
        except BaseException:
            self._source.close()
            raise
        self._origin = origin_seconds(self._video)
        self._shift = cut.shift_seconds(self._origin)
        self._is_mp4 = container_format(target) in ("mp4", "mov")
        self._suffix = target.suffix
        self._lanes: dict[int, Lane] = {}
        self._first: list[Packet[Stream]] = []
        self._pending: Packet[Stream] | None = None

    @property
    def notes(self) -> list[str]:
        """What is lost or changed on the way, the same list always: it grows until `close`."""
        return self._plan.notes

    @property
    def suits_fragments(self) -> bool:
        """Whether this goes into an MP4 or MOV, has neither subtitles nor covers, and its sound begins soon: see
        muxer_options."""
        return self._is_mp4 and not self._plan.covers and not self._has_subtitles and self._begins_soon()

    @property
    def _has_subtitles(self) -> bool:
        return any(stream.type == "subtitle" for stream in self._plan.streams)

    def _begins_soon(self) -> bool:
        """Whether each track of sound has a packet in the first seconds of the cut. No more is read than must be."""
        awaited = {stream.index for stream in self._plan.streams if stream.type == "audio"}
        if not awaited:
            return True
        if self._cut.start and not self._can_seek:
            return False  # where the cut begins is known only when all before it was read
        soon = (self._cut.start or 0) + _SOON_SECONDS
        with open_film(self._source_path) as film:
            self._go_to_start(film)
            streams = [film.streams[index] for index in (*awaited, self._video.index)]
            for packet in readable_packets(film, streams, []):
                start = self._start_of(packet)
                if start is None:
                    continue
                if start < soon and not self._cut.is_before(start) and not self._cut.is_after(start):
                    awaited.discard(packet.stream_index)
                if not awaited or start >= soon + _INTERLEAVED_SECONDS:
                    break
        return not awaited

    @property
    def lead_seconds(self) -> Fraction | None:
        """How much earlier than the picture the film begins, where it is whole and its clock counts from anywhere;
        None where its own zero means something."""
        if self._cut.start is not None or not may_be_joined(self._source.format.name):
            return None
        lead = self._origin - min(map(_start_seconds, self._plan.streams), default=self._origin)
        return lead if 0 <= lead <= _INTERLEAVED_SECONDS else Fraction(0)

    def attach(self, container: OutputContainer) -> None:
        """Adds the copied streams, chapters and tags to `container`, whose picture stream is the first already."""
        for stream in self._plan.streams:
            self._add(container, stream)
        self._first = [packet for cover in self._plan.covers if (packet := cover.attach(container))]
        container.metadata.update(self._tags(self._source.metadata, container))
        container.set_chapters(self._chapters())
        picture = container.streams.video[0]
        picture.metadata.update(self._tags(of_track(self._video.metadata), container))
        picture.disposition = self._video.disposition
        self._packets = self._wanted_packets()

    def delay(self, container: OutputContainer, seconds: Fraction) -> None:
        """Moves everything copied by `seconds`. Before the first packet is muxed."""
        self._shift -= seconds
        container.set_chapters(self._chapters())

    def _add(self, container: OutputContainer, stream: Stream) -> None:
        if isinstance(stream, AttachmentStream):
            name = readable(stream.metadata.get("filename", f"attachment-{stream.index}"))
            container.add_attachment(name, readable(stream.mimetype or "application/octet-stream"), stream.data)
            return
        converter: SubtitleConverter | PcmConverter | None = None
        if stream.index in self._plan.as_text:
            converter = SubtitleConverter(stream, container)
        elif stream.index in self._plan.as_pcm:
            converter = PcmConverter(stream, container)
        target = converter.target if converter else container.add_stream_from_template(stream, opaque=True)
        target.metadata.update(self._tags(of_track(stream.metadata), container))
        target.disposition = stream.disposition
        header = bytes(stream.codec_context.extradata or b"")
        filler = hole_filler(target, container.format.name, stream)
        self._lanes[stream.index] = Lane(target, header, converter, adts_header_remover(stream), filler)

    def _tags(self, tags: Mapping[str, str], container: OutputContainer) -> dict[str, str]:
        """Those that hold for the cut too: a timecode is that of the film's first picture."""
        fitting = fitting_tags(tags, container.format.name)
        timecode = timecode_in(fitting)
        if timecode is None or not self._cut.start:
            return fitting
        self._plan.note(f"the timecode {timecode} is left out: it is that of the film's beginning, which is cut off")
        return without_timecode(fitting)

    def _chapters(self) -> list[Chapter]:
        """The chapters that touch the cut, clipped to it and moved with it."""
        kept: list[Chapter] = []
        for chapter in self._source.chapters():
            unit = chapter["time_base"] or Fraction(1, 1_000)
            start, end = (chapter[key] * unit - self._origin for key in ("start", "end"))
            if self._cut.is_after(start) or self._cut.is_before(end):
                continue
            start, end = max(start, self._cut.start or start), min(end, self._cut.end or end)
            moved = (round((t + self._origin - self._shift) / unit) for t in (start, end))
            chapter["start"], chapter["end"] = moved
            chapter["metadata"] = {key: readable(value) for key, value in chapter["metadata"].items()}
            kept.append(chapter)
        return kept

    def mux_until(self, container: OutputContainer, seconds: Fraction) -> None:
        """Muxes copied packets whose decoding time in the result is up to `seconds`. Raises as `container.mux` does."""
        while self._first:
            container.mux_one(self._first.pop())
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = packet
            if packet is None or (packet.dts or 0) * packet.time_base > seconds:
                return
            self._mux(container, packet)
            self._pending = None

    def finish(self, container: OutputContainer) -> None:
        """Muxes all that is left of the copied streams."""
        if self._pending is not None:
            self._mux(container, self._pending)
            self._pending = None
        for packet in self._packets:
            self._mux(container, packet)

    def _mux(self, container: OutputContainer, packet: Packet[Stream]) -> None:
        """What FFmpeg refuses to write because it is damaged is counted and left out."""
        try:
            container.mux_one(packet)
        except InvalidDataError:
            next(lane for lane in self._lanes.values() if lane.target == packet.stream).damaged += 1

    def _wanted_packets(self) -> Iterator[Packet[Stream]]:
        """Packets inside the cut, on the result's clock and addressed to their streams there."""
        wanted = [stream for stream in self._source.streams if stream.index in self._lanes]
        if not wanted:
            return
        self._go_to_start(self._source)
        clock = FileClock(self._source.format.name)
        heard = [sound for sound in sounds_for_clock(self._source) if sound.index not in self._lanes]
        packets = self._up_to_end(readable_packets(self._source, [*wanted, self._video, *heard], self.notes), clock)
        standing = StandingSubtitles()
        for packet, lane in on_one_clock(packets, self._video.index, self._lanes, clock):
            start = self._start_of(packet)
            if start is None or self._cut.is_after(start):
                continue
            state_duration(packet, is_needed=self._is_mp4)
            self._end_with_cut(packet, start)
            if self._cut.is_before(start) and not self._reaches_in(packet, start):
                standing.hold(packet, lane, (self._cut.start or 0) - start)
                continue
            yield from self._released(standing)
            yield from self._addressed(lane, lane.whole(lane.converted(packet)))
        yield from self._released(standing)
        for lane in self._lanes.values():
            yield from self._addressed(lane, lane.rest())

    def _end_with_cut(self, packet: Packet[Stream], start: Fraction) -> None:
        """A subtitle that is on the screen when the cut ends goes then, or it would make the film longer."""
        if self._cut.end is not None and packet.stream.type == "subtitle" and packet.duration:
            left = int((self._cut.end - start) / packet.time_base)
            packet.duration = min(packet.duration, max(left, 1))

    def _addressed(self, lane: Lane, packets: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
        for packet in packets:
            yield lane.address(packet, self._shift, is_cut=self._cut.start is not None)

    def _released(self, standing: StandingSubtitles) -> Iterator[Packet[Stream]]:
        for packet, lane in standing.let_go():
            yield from self._addressed(lane, [packet])

    def _go_to_start(self, film: InputContainer) -> None:
        """Moves the freshly opened `film` to where the first packet of the cut may lie: sound before the picture of its
        time, and a subtitle that is on the screen by then where it appeared, which may be long before."""
        seconds = (self._cut.start or 0) - (LONGEST_SECONDS if self._has_subtitles else _INTERLEAVED_SECONDS)
        if seconds > 0 and self._can_seek:
            with reading(self._source_path):
                film.seek(int((self._origin + seconds) * av.time_base))

    def _start_of(self, packet: Packet[Stream]) -> Fraction | None:
        """In seconds from the film's first picture; None where no time is stated."""
        time = packet.pts if packet.pts is not None else packet.dts
        return None if time is None else time * packet.time_base - self._origin

    def _up_to_end(self, packets: Iterator[Packet[Stream]], clock: FileClock) -> Iterator[Packet[Stream]]:
        """What must be read for the cut: `packets`, up to where nothing of it can come any more.

        That is where picture and sound are both well past its end. A track of sound of which nothing more comes while
        the picture goes on for long has ended; one that has not come at all may lie behind all pictures: it is awaited.
        """
        if self._cut.end is None:
            yield from packets
            return
        past_end = self._origin + self._cut.end + _INTERLEAVED_SECONDS
        sounds = {index: lane for index, lane in self._lanes.items() if lane.target.type == "audio"}
        met_at: dict[int, Fraction] = {}  # by stream: where the picture was when its last packet came
        for packet in packets:
            yield packet  # which `clock` and its lane have seen when the next one is asked for
            shown_to = clock.reached
            if shown_to is None:
                continue
            met_at[packet.stream_index] = shown_to
            if shown_to >= past_end and all(
                lane.read_to is not None
                and (lane.read_to >= past_end or shown_to >= met_at.get(index, past_end) + _LONGEST_PAUSE_SECONDS)
                for index, lane in sounds.items()
            ):
                return

    def _reaches_in(self, packet: Packet[Stream], start: Fraction) -> bool:
        """A subtitle that is on the screen when the cut begins is kept."""
        end = start + (packet.duration or 0) * packet.time_base
        return packet.stream.type == "subtitle" and not self._cut.is_before(end)

    def close(self) -> None:
        for stream in self._plan.streams:
            lane, what = self._lanes.get(stream.index), f"{stream.type} of codec {codec_name(stream)}"
            if lane and lane.is_empty and self._is_mp4:
                self._plan.note(f"the {what} is left out: nothing of it came, and {self._suffix} holds no empty track")
            if lane and lane.damaged:
                self._plan.note(f"{lane.damaged} damaged packets of the {what} are left out")
            if lane and lane.mended:
                self._plan.note(f"{lane.mended} timestamps of the {what} were wrong and were filled in")
            if lane and lane.overlaps and self._is_mp4:
                told = f"{lane.overlaps} times the {what} begins before the last has ended"
                self._plan.note(f"{told}; {self._suffix} shows one after the other, the later ones late")
            if lane and lane.changes:
                self._plan.note(f"the {what} changes within the film; players may not play on from there")
            if lane and isinstance(lane.converter, PcmConverter) and lane.converter.changes:
                self._plan.note(f"the {what} changes its channels or rate within the film: all is brought to its first")
            for text in lane.filler.notes(what) if lane and lane.filler else ():
                self._plan.note(text)
        self._source.close()


def _start_seconds(stream: Stream) -> Fraction:
    """When it begins, by its own statement; never where it makes none."""
    if stream.start_time is None or stream.time_base is None:
        return _NEVER
    return stream.start_time * stream.time_base
