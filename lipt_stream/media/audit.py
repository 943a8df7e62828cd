"""The facts of a film as its file states them, read for an audit, and not by what the pipeline reads them with.

Shared is what opens a file, and how packets come out of it. Only headers and packets are looked at;
`audit_pictures.py` decodes.
"""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, nan
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from av.container import InputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media.audit_packets import PacketTrack, Track, codec_name, read_tracks, undamaged_packets
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film

if TYPE_CHECKING:
    from av.container.core import Chapter  # known to the stubs alone

_KINDS: Final = frozenset({"video", "audio", "subtitle", "attachment"})

CopiedKind = Literal["audio", "subtitle"]


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """A stream that is copied, the `index`-th of its file. `tick_seconds` is its time base; `dispositions` the names of
    its flags. `words`: of text, its packets without markup, which differs from one text codec to the next."""

    index: int
    kind: CopiedKind
    codec: str
    language: str
    title: str
    dispositions: frozenset[str]
    tick_seconds: float
    packets: PacketTrack
    words: PacketTrack | None

    @property
    def is_text(self) -> bool:
        """Whether its text could be carried over into another text codec."""
        return self.words is not None


@dataclass(frozen=True, slots=True)
class PictureTrackFacts:
    """What is said of the main picture beside its format, as StreamFacts has it. `timecode`: the film's or the
    track's, empty where there is none."""

    language: str
    title: str
    dispositions: frozenset[str]
    timecode: str


@dataclass(frozen=True, slots=True)
class ChapterFacts:
    title: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """Everything of a film but its pictures. `attachments`: name and SHA-256. `covers`: SHA-256 of each attached one.
    `further_videos`: how many moving pictures there are beside the main one. `others`: streams of other kinds."""

    path: Path
    container: str
    picture: PictureTrackFacts
    streams: tuple[StreamFacts, ...]
    chapters: tuple[ChapterFacts, ...]
    attachments: tuple[tuple[str, str], ...]
    metadata: dict[str, str]
    covers: tuple[str, ...]
    further_videos: int
    others: tuple[str, ...]

    def of_kind(self, kind: CopiedKind) -> tuple[StreamFacts, ...]:
        return tuple(stream for stream in self.streams if stream.kind == kind)


def read_film(path: Path, joins: Sequence[float] | None = (0.0,)) -> FilmFacts:
    """Reads `path` once through without decoding. Raises InputError where it cannot be opened.

    `joins`: the `offsets` of its pictures, where its clock jumps; None where it must not.
    """
    with open_film(path) as container, reading(path):
        copied = [stream for stream in container.streams if stream.type in ("audio", "subtitle")]
        tracks = read_tracks(container, copied, joins)
        picture = main_picture(container, path)
        covers = [stream for stream in container.streams.video if _is_cover(stream)]
        return FilmFacts(
            path=path,
            container=container.format.name,
            picture=_picture_track_facts(picture, container),
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


def _stream_facts(stream: Stream, track: Track) -> StreamFacts:
    return StreamFacts(
        index=stream.index,
        kind="audio" if stream.type == "audio" else "subtitle",
        codec=codec_name(stream),
        language=_language(stream),
        title=_title(stream),
        dispositions=_flags(stream),
        tick_seconds=_tick_seconds(stream),
        packets=track.packets,
        words=track.words,
    )


def _picture_track_facts(stream: VideoStream, container: InputContainer) -> PictureTrackFacts:
    tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
    timecode = _text(tags.get("timecode", ""))
    return PictureTrackFacts(_language(stream), _title(stream), _flags(stream), timecode)


def _language(stream: Stream) -> str:
    return "" if stream.language in (None, "und") else stream.language


def _title(stream: Stream) -> str:
    """FFmpeg reads that of a track of MP4 or MOV as its name."""
    return _text(stream.metadata.get("title") or stream.metadata.get("name", ""))


def _flags(stream: Stream) -> frozenset[str]:
    return frozenset(flag.name for flag in Disposition if stream.disposition & flag and flag.name)


def _tick_seconds(stream: Stream) -> float:
    return float(stream.time_base or Fraction(1, 1000))


def _chapter(chapter: Chapter) -> ChapterFacts:
    unit = chapter["time_base"] or Fraction(1, 1000)
    start, end = (float(chapter[key] * unit) for key in ("start", "end"))
    return ChapterFacts(_text(chapter["metadata"].get("title", "")), start, end)


def _attachments(container: InputContainer) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            _text(stream.metadata.get("filename", f"attachment-{stream.index}")),
            hashlib.sha256(stream.data).hexdigest(),
        )
        for stream in container.streams
        if isinstance(stream, AttachmentStream)
    )


def _cover(path: Path, index: int) -> str:
    """By an opening of its own: FFmpeg hands such a picture out once, before all else."""
    with open_film(path) as container:
        packets = undamaged_packets(container, [container.streams[index]])
        return hashlib.sha256(bytes(next(packets, b""))).hexdigest()


def _text(tag: str) -> str:
    """Bytes that are no UTF-8 can be written into no new file as they are: they are compared as Latin-1."""
    has_bytes = any("\udc80" <= letter <= "\udcff" for letter in tag)  # as surrogateescape reads them
    return tag.encode(errors="surrogateescape").decode("latin-1") if has_bytes else tag
