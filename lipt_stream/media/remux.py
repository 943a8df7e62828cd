"""Everything of a film but its picture, copied without re-encoding: sound, subtitles, chapters, attachments, tags."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.container import InputContainer, OutputContainer
from av.error import InvalidDataError
from av.packet import Packet
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from lipt_stream.errors import OutputError
from lipt_stream.media.av_errors import AV_ERRORS, reading, reason
from lipt_stream.media.container_fit import ContainerFit, codec_name
from lipt_stream.media.containers import CONTAINERS, container_format, open_film
from lipt_stream.media.covers import Cover, read_cover
from lipt_stream.media.decoder import DAMAGE, has_jumps, is_cover, main_video, origin_seconds
from lipt_stream.media.lanes import Lane, adts_header_remover, on_one_clock
from lipt_stream.media.subtitles import TEXT_CODEC_OF, SubtitleConverter
from lipt_stream.media.timeline import Cut, FileClock

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the stubs alone

# Tags that describe the old file or its encoder and would be wrong in the new one.
_STALE_TAGS: Final = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "vendor_id", "duration", "bps"}
    | {"number_of_frames", "number_of_bytes"}
    | {"_statistics_tags", "_statistics_writing_app", "_statistics_writing_date_utc"}
)
# What MP4 and MOV have a place for; other tags are dropped by FFmpeg without a word.
_MP4_TAGS: Final = frozenset(
    {"title", "artist", "author", "album_artist", "composer", "album", "date", "comment", "genre", "copyright"}
    | {"grouping", "lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "episode_sort"}
    | {"season_number", "media_type", "hd_video", "gapless_playback", "compilation", "rating", "track", "disc", "tmpo"}
    | {"creation_time", "encoding_tool"}
)


class StreamCopy:
    """Reads `source` a second time, beside the picture's decoder, and feeds what is not picture to a container.

    Order of use: `attach` before the header is written, `mux_until` as the picture's packets come, `finish` at the end.
    The cut is that of the picture: packets with start <= t < end, moved so that start becomes 0.
    """

    def __init__(self, source: Path, target: Path, cut: Cut, suffixes: Collection[str] = tuple(CONTAINERS)) -> None:
        """Raises InputError, and OutputError where `target`'s container cannot hold a stream, naming its codec.

        `suffixes`: containers that would suit the picture, for the hint.
        """
        self._source_path = source
        self._target_path = target
        self._cut = cut
        self._suffixes = suffixes
        self._source = open_film(source)
        try:
            self._prepare()
        except BaseException:
            self._source.close()
            raise

    def _prepare(self) -> None:
        self._video = main_video(self._source, self._source_path)
        self._origin = origin_seconds(self._video)
        self._shift = self._cut.shift_seconds(self._origin)
        self.notes: list[str] = []
        self._fit = ContainerFit(self._source_path, self._source.streams)
        self._covers: list[Cover] = []
        self._streams = [stream for stream in self._source.streams if self._is_copied(stream)]
        self._lanes: dict[int, Lane] = {}
        self._first: list[Packet[Stream]] = []
        self._pending: Packet[Stream] | None = None
        self._converted_streams = self._check_container()
        self._note_lost_tags()

    def _is_copied(self, stream: Stream) -> bool:
        if stream.type in ("audio", "subtitle"):
            if self._fit.some_can_hold(stream):
                return True
            what = f"{stream.type} of codec {codec_name(stream)}, language {stream.language or 'not stated'},"
            self._note(f"{what} is left out: no container that is written here holds it")
        elif stream.type == "attachment":
            if container_format(self._target_path) == "matroska":
                return True
            name = stream.metadata.get("filename", "unnamed")
            self._note(f"the attachment {name} is left out: only .mkv holds attachments")
        elif isinstance(stream, VideoStream):
            if is_cover(stream):
                self._take_cover(stream)
        elif not self._holds_chapters(stream):
            self._note(f"a stream of type {stream.type} ({stream.metadata.get('handler_name', '-')}) is left out")
        return False

    def _holds_chapters(self, stream: Stream) -> bool:
        """MP4 and MOV keep the titles of chapters in a track, which FFmpeg reads as chapters and as data."""
        return 0 < stream.frames == len(self._source.chapters()) and "timecode" not in stream.metadata

    def _take_cover(self, stream: VideoStream) -> None:
        cover = read_cover(self._source_path, stream, container_format(self._target_path))
        if cover:
            self._covers.append(cover)
        else:
            self._note(f"the cover picture is left out: {self._target_path.suffix} has no place for it")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _note_lost_tags(self) -> None:
        if container_format(self._target_path) in ("mp4", "mov"):
            lost = sorted(key for key in _kept(self._source.metadata) if key.lower() not in _MP4_TAGS)
            if lost:
                self._note(f"{self._target_path.suffix} has no place for the tags {', '.join(lost)}")

    def _check_container(self) -> frozenset[int]:
        """Refuses what the container cannot hold, before any work, with the containers that could.

        Returns the indices of the streams that have to be converted.
        """
        format = container_format(self._target_path)
        converted: set[int] = set()
        for stream in self._streams:
            if not self._fit.can_hold(format, stream):
                others = [suffix for suffix in self._suffixes if suffix != ".m4v" and self._would_fit(suffix)]
                raise OutputError(
                    f"Cannot write {self._target_path}: {format} cannot hold {stream.type} of codec "
                    f"{codec_name(stream)}",
                    f"Write to {' or '.join(others)}." if others else "No container that is written here holds it all.",
                )
            if not self._fit.holds_as_it_is(format, stream):
                converted.add(stream.index)
                self._note(f"{codec_name(stream)} subtitles become {TEXT_CODEC_OF[format]}: styles may be lost")
        return frozenset(converted)

    def _would_fit(self, suffix: str) -> bool:
        return all(self._fit.can_hold(CONTAINERS[suffix], stream) for stream in self._streams)

    @property
    def is_sound_alone(self) -> bool:
        """Whether there are neither subtitles nor covers."""
        return not self._covers and all(stream.type != "subtitle" for stream in self._streams)

    def attach(self, container: OutputContainer) -> None:
        """Adds the copied streams, chapters and tags to `container`, whose picture stream is the first already."""
        for stream in self._streams:
            self._add(container, stream)
        self._first = [packet for cover in self._covers if (packet := cover.attach(container))]
        container.metadata.update(_kept(self._source.metadata))
        container.set_chapters(self._chapters())
        picture = container.streams.video[0]
        picture.metadata.update(_kept(self._video.metadata))
        picture.disposition = self._video.disposition
        self._packets = self._wanted_packets()

    def delay(self, container: OutputContainer, seconds: Fraction) -> None:
        """Moves everything copied by `seconds`. Before the first packet is muxed."""
        self._shift -= seconds
        container.set_chapters(self._chapters())

    def _add(self, container: OutputContainer, stream: Stream) -> None:
        if isinstance(stream, AttachmentStream):
            name = stream.metadata.get("filename", f"attachment-{stream.index}")
            container.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
            return
        converter = None
        if stream.index in self._converted_streams:
            converter = SubtitleConverter(stream, container)
            target = converter.target
        else:
            target = container.add_stream_from_template(stream, opaque=True)
        target.metadata.update(_kept(stream.metadata))
        target.disposition = stream.disposition
        header = bytes(stream.codec_context.extradata or b"")
        self._lanes[stream.index] = Lane(target, header, converter, adts_header_remover(stream))

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
            chapter["metadata"] = {key: _readable(value) for key, value in chapter["metadata"].items()}
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
        if self._cut.start is not None and not has_jumps(self._source_path):
            with reading(self._source_path):
                self._source.seek(int((self._origin + self._cut.start) * av.time_base))
        clock = FileClock(self._source.format.name)
        packets = _undamaged(self._source, [*wanted, self._video], self.notes)
        for packet, lane in on_one_clock(packets, self._video.index, self._lanes, clock):
            time = packet.pts if packet.pts is not None else packet.dts
            start = (time or 0) * packet.time_base - self._origin
            if self._cut.is_after(start):
                continue
            if self._cut.is_before(start) and not self._reaches_in(packet, start):
                continue
            converted = self._converted(packet, lane)
            if converted is not None:
                yield lane.address(converted, self._shift, is_cut=self._cut.start is not None)

    def _reaches_in(self, packet: Packet[Stream], start: Fraction) -> bool:
        """A subtitle that is on the screen when the cut begins is kept."""
        end = start + (packet.duration or 0) * packet.time_base
        return packet.stream.type == "subtitle" and not self._cut.is_before(end)

    def _converted(self, packet: Packet[Stream], lane: Lane) -> Packet[Stream] | None:
        try:
            return lane.converted(packet)
        except AV_ERRORS as error:
            self._note(f"subtitles that could not be converted are left out ({reason(error)})")
            return None

    def close(self) -> None:
        for stream in self._streams:
            lane, what = self._lanes.get(stream.index), f"{stream.type} of codec {codec_name(stream)}"
            if lane and lane.damaged:
                self._note(f"{lane.damaged} damaged packets of the {what} are left out")
            if lane and lane.changes:
                self._note(f"the {what} changes within the film; players may not play on from there")
        self._source.close()


def _undamaged(source: InputContainer, streams: list[Stream], notes: list[str]) -> Iterator[Packet[Stream]]:
    """Packets of `streams`; a read error is noted once and reading goes on behind it."""
    errors = 0
    while errors < 100:
        try:
            for packet in source.demux(streams):
                if packet.size:
                    yield packet
            return
        except DAMAGE as error:
            if errors == 0:
                notes.append(f"the copied streams are damaged in places ({reason(error)})")
            errors += 1


def _kept(tags: dict[str, str]) -> dict[str, str]:
    """The tags that hold for the new file too, as text that can be written."""
    read = {_readable(key): _readable(value) for key, value in tags.items()}
    return {key: value for key, value in read.items() if key.split("-")[0].lower() not in _STALE_TAGS}


def _readable(text: str) -> str:
    """`text` with bytes that are no UTF-8 (old files, damage) taken for Latin-1, in which all bytes mean something."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode(errors="surrogateescape").decode("latin-1")
    return text
