"""The facts of a film as its file states them, read for an audit: nothing here is shared with the pipeline's own path.

Only headers and packets are looked at; `audit_pictures.py` decodes.
"""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media.audit_joins import JoinedTimes, JointsBeside
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film, packets_of

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the stubs alone

DAMAGE: Final = (FFmpegError, UnicodeDecodeError, MemoryError)
_GIVE_UP_AFTER: Final = 100  # read errors in a row
_TEXT_SUBTITLES: Final = frozenset({"subrip", "text", "mov_text", "webvtt"})
_MARKUP: Final = re.compile(rb"<[^>]*>|\{\\[^}]*\}|\r")
_PGS_COMPOSITION: Final = 0x16  # the first segment of a picture, which may have a packet of its own, as on a Blu-ray
_KINDS: Final = frozenset({"video", "audio", "subtitle", "attachment"})

CopiedKind = Literal["audio", "subtitle"]


@dataclass(frozen=True, slots=True)
class PacketTrack:
    """A stream's packets in the order of the file.

    `digests`: 8 bytes of BLAKE2b of each payload; `whole` of all payloads behind each other. Headers that muxers add
    or take away (ADTS, the length before mov_text) do not count as payload. `seconds`: presentation times, nan where
    there is none; `durations`: in seconds, 0 where not told; `end_seconds`: where the last packet ends, nan where no
    packet has a time.
    """

    digests: tuple[bytes, ...]
    whole: bytes
    seconds: array[float]
    durations: array[float]
    end_seconds: float

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream that is copied, the `index`-th of its file. `tick_seconds` is its time base; `dispositions` the names of
    its flags."""

    index: int
    kind: CopiedKind
    codec: str
    language: str
    title: str
    dispositions: frozenset[str]
    tick_seconds: float
    packets: PacketTrack

    @property
    def is_text(self) -> bool:
        """Whether its text could be carried over into another text codec."""
        return self.codec in _TEXT_SUBTITLES


@dataclass(frozen=True, slots=True)
class ChapterFacts:
    title: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """Everything of a film but its picture. `attachments`: name -> SHA-256. `covers`: SHA-256 of each attached picture.
    `further_videos`: how many moving pictures there are beside the main one. `others`: streams of other kinds."""

    path: Path
    container: str
    streams: tuple[StreamFacts, ...]
    chapters: tuple[ChapterFacts, ...]
    attachments: dict[str, str]
    metadata: dict[str, str]
    covers: tuple[str, ...]
    further_videos: int
    others: tuple[str, ...]

    def of_kind(self, kind: CopiedKind) -> tuple[StreamFacts, ...]:
        return tuple(stream for stream in self.streams if stream.kind == kind)


def read_film(path: Path, joins: Sequence[float] = (0.0,)) -> FilmFacts:
    """Reads `path` once through without decoding. Raises InputError where it cannot be opened.

    `joins`: the `offsets` of its pictures, where its clock jumps.
    """
    with open_film(path) as container, reading(path):
        copied = [stream for stream in container.streams if stream.type in ("audio", "subtitle")]
        tracks = _read_tracks(container, copied, joins)
        main_picture(container, path)
        covers = [stream for stream in container.streams.video if _is_cover(stream)]
        return FilmFacts(
            path=path,
            container=container.format.name,
            streams=tuple(_stream_facts(stream, tracks[stream.index]) for stream in copied),
            chapters=tuple(_chapter(chapter) for chapter in container.chapters()),
            attachments=_attachments(container),
            metadata={_text(key): _text(value) for key, value in container.metadata.items()},
            covers=tuple(_cover(path, stream.index) for stream in covers),
            further_videos=len(container.streams.video) - len(covers) - 1,
            others=tuple(f"{s.type} track" for s in container.streams if s.type not in _KINDS),
        )


@dataclass(frozen=True, slots=True)
class PictureTimes:
    """When a film's pictures are shown, in seconds: `starts` ascends; `end_seconds` is that of the last one.
    `tick_seconds`: the stream's time base."""

    starts: array[float]
    end_seconds: float
    tick_seconds: float


def picture_times(path: Path) -> PictureTimes:
    """Those of the main picture's packets, undecoded.

    Raises InputError where the file cannot be opened or holds no picture.
    """
    with open_film(path) as container, reading(path):
        stream = main_picture(container, path)
        shown = array("d")
        last = (-inf, nan)  # of the picture shown last: when, and when it ends
        for packet in undamaged_packets(container, [stream]):
            if packet.pts is not None:
                seconds = float(packet.pts * packet.time_base)
                shown.append(seconds)
                last = max(last, (seconds, float((packet.pts + (packet.duration or 0)) * packet.time_base)))
        starts, end = array("d", sorted(shown)), last[1]
        if starts and "mp4" in container.format.name.split(",") and stream.duration and stream.time_base:
            # Its samples' durations are steps of decoding time: only their sum tells where the film ends.
            end = starts[0] + float(stream.duration * stream.time_base)
        return PictureTimes(starts, end, _tick_seconds(stream))


def main_picture(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is no cover. Raises InputError where there is none."""
    for stream in container.streams.video:
        if not _is_cover(stream):
            return stream
    raise InputError(f"Cannot audit {path}: it holds no video", "Name a file with pictures.")


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


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
    def __init__(self, stream: Stream, clock: JoinedTimes) -> None:
        self._codec = codec_name(stream)
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
        data = self._payload(bytes(packet))
        if self._codec in _TEXT_SUBTITLES and not data:
            return  # MP4 fills the gaps between subtitles with empty ones
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

    def _payload(self, data: bytes) -> bytes:
        if self._may_be_adts and len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
            return data[7 if data[1] & 1 else 9 :]  # ISO/IEC 14496-3: a checksum makes the header longer
        if self._codec == "mov_text":
            return _plain_text(data[2 : 2 + int.from_bytes(data[:2], "big")])  # 3GPP TS 26.245: length, text, styles
        return _plain_text(data) if self._codec in _TEXT_SUBTITLES else data

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


def _read_tracks(container: InputContainer, streams: list[Stream], joins: Sequence[float]) -> dict[int, PacketTrack]:
    # Subtitles are too far apart for a jump ahead to be told from a pause.
    names = {stream.index: container.format.name if stream.type == "audio" else "" for stream in streams}
    builders = {s.index: _TrackBuilder(s, JoinedTimes(names[s.index], JointsBeside(joins))) for s in streams}
    if streams:
        for packet in undamaged_packets(container, streams):
            builders[packet.stream_index].add(packet)
    return {index: builder.finished() for index, builder in builders.items()}


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def _plain_text(data: bytes) -> bytes:
    """Words without markup, which differs from one text codec to the next."""
    return _MARKUP.sub(b"", data).strip()


def _stream_facts(stream: Stream, packets: PacketTrack) -> StreamFacts:
    language = stream.language or ""
    return StreamFacts(
        index=stream.index,
        kind="audio" if stream.type == "audio" else "subtitle",
        codec=codec_name(stream),
        language="" if language == "und" else language,
        title=_text(stream.metadata.get("title", "")),
        dispositions=frozenset(flag.name for flag in Disposition if stream.disposition & flag and flag.name),
        tick_seconds=_tick_seconds(stream),
        packets=packets,
    )


def _tick_seconds(stream: Stream) -> float:
    return float(stream.time_base or Fraction(1, 1000))


def codec_name(stream: Stream) -> str:
    """FFmpeg's name of the codec, "unknown" where it has no decoder."""
    context = stream.codec_context
    if context is None:  # pyright: ignore[reportUnnecessaryComparison] the stub is too hopeful
        return "unknown"
    return context.codec.canonical_name


def _chapter(chapter: Chapter) -> ChapterFacts:
    unit = chapter["time_base"] or Fraction(1, 1000)
    start, end = (float(chapter[key] * unit) for key in ("start", "end"))
    return ChapterFacts(_text(chapter["metadata"].get("title", "")), start, end)


def _attachments(container: InputContainer) -> dict[str, str]:
    found: dict[str, str] = {}
    for stream in container.streams:
        if isinstance(stream, AttachmentStream):
            name = _text(stream.metadata.get("filename", f"attachment-{stream.index}"))
            found[name] = hashlib.sha256(stream.data).hexdigest()
    return found


def _cover(path: Path, index: int) -> str:
    """By an opening of its own: FFmpeg hands such a picture out once, before all else."""
    with open_film(path) as container:
        packets = undamaged_packets(container, [container.streams[index]])
        return hashlib.sha256(bytes(next(packets, b""))).hexdigest()


def _text(tag: str) -> str:
    """Bytes that are no UTF-8 can be written into no new file as they are: they are compared as Latin-1."""
    has_bytes = any("\udc80" <= letter <= "\udcff" for letter in tag)  # as surrogateescape reads them
    return tag.encode(errors="surrogateescape").decode("latin-1") if has_bytes else tag
