"""What goes with a film's picture into another container, how, and what is lost: found before any work."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.stream import VideoStream

from lipt_stream.errors import OutputError
from lipt_stream.media.av_errors import reading
from lipt_stream.media.container_fit import ContainerFit, codec_name, has_decoder
from lipt_stream.media.containers import CONTAINERS, container_format
from lipt_stream.media.covers import Cover, read_cover
from lipt_stream.media.decoder import is_cover, main_video
from lipt_stream.media.late_in_flv import first_sound
from lipt_stream.media.late_in_transport import late_in_transport
from lipt_stream.media.late_streams import MOST_PROBED, begins_too_late
from lipt_stream.media.pcm import pcm_codec
from lipt_stream.media.picture_format import believable_rate
from lipt_stream.media.side_data import STEREO_LOSS, is_stereo
from lipt_stream.media.subtitles import TEXT_CODEC_OF
from lipt_stream.media.tags import lost_flags, lost_tags, of_track, readable, timecode_in

Unfit: TypeAlias = Literal["refuse", "convert", "drop"]
"""What becomes of sound and subtitles that a container cannot hold: the film is refused; sound is decoded to PCM; they
are left out. Text subtitles are converted in any case."""


@dataclass(slots=True)
class CopyPlan:
    """`streams`: those that are copied; `as_text`, `as_pcm`: indices of those that are converted on their way."""

    streams: list[Stream] = field(default_factory=list[Stream])
    as_text: set[int] = field(default_factory=set[int])
    as_pcm: set[int] = field(default_factory=set[int])
    covers: list[Cover] = field(default_factory=list[Cover])
    notes: list[str] = field(default_factory=list[str])

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def plan_copies(path: Path, source: InputContainer, target: Path, suffixes: Collection[str], unfit: Unfit) -> CopyPlan:
    """What of `source`, opened from `path`, goes into `target`.

    `suffixes`: containers that would suit the picture, for the hint. Raises InputError, and OutputError where the
    container of `target` cannot hold a stream, naming its codec and what would work.
    """
    planner = _Planner(path, source, target, suffixes, unfit)
    return planner.plan


class _Planner:
    def __init__(
        self, path: Path, source: InputContainer, target: Path, suffixes: Collection[str], unfit: Unfit
    ) -> None:
        self._path, self._source, self._target = path, source, target
        self._suffixes, self._unfit = suffixes, unfit
        self._format = container_format(target)
        self._fit = ContainerFit(path, source.streams)
        self.plan = CopyPlan()
        picture = main_video(source, path)
        for stream in source.streams:
            if stream.type in ("audio", "subtitle"):
                self._take(stream)
            elif stream.type == "attachment":
                self._take_attachment(stream)
            elif isinstance(stream, VideoStream):
                if is_cover(stream):
                    self._take_cover(stream)
            elif stream != picture and not (self._holds_chapters(stream) or self._holds_timecode(stream)):
                name = readable(stream.metadata.get("handler_name", "-"))
                self.plan.note(f"a stream of type {stream.type} ({name}) is left out")
        self._note_late_streams()
        self._rate = believable_rate(picture)
        if lost := lost_tags(source.metadata, self._format, rate=self._rate):
            self.plan.note(f"{target.suffix} has no place for the tags {', '.join(lost)}")
        for stream in (picture, *self.plan.streams):
            self._note_lost_words(stream)
        if self._format in ("mp4", "mov") and is_stereo(picture.metadata):
            self.plan.note(STEREO_LOSS)

    def _note_late_streams(self) -> None:
        with reading(self._path):
            late = self._late_streams()
        for stream in late:
            self.plan.note(f"a track of {stream}, is left out: it is not found where the film begins")

    def _late_streams(self) -> list[str]:
        """What was not found when the film was opened, in words. Raises OSError."""
        known = {stream.id for stream in self._source.streams}
        beginning = f"which begins more than {MOST_PROBED >> 20} MB into the film"
        match self._source.format.name:
            case "mpeg":
                return [f"{kind}, {beginning}" for kind in begins_too_late(self._path, known)]
            case "flv" if not self._source.streams.audio and first_sound(self._path) is not None:
                return [f"sound, {beginning}"]
            case "mpegts":
                return [str(stream) for stream in late_in_transport(self._path, known)]
            case _:
                return []

    def _note_lost_words(self, stream: Stream) -> None:
        """Of a stream's own tags, its language among them, and of its flags."""
        lost = [f"the {flag} flag" for flag in lost_flags(stream.disposition, self._format)]
        for key in lost_tags(of_track(stream.metadata), self._format, of_stream=True, rate=self._rate):
            if key == "stereo_mode" or self._is_the_films_moment(key, stream):
                continue  # the one has words of its own, the other is written into each track
            is_language = key == "language"
            lost.append(f"the language {readable(stream.metadata[key])}" if is_language else f"the tag {key}")
        if lost:
            what = "picture" if stream.type == "video" else f"{stream.type} of codec {codec_name(stream)}"
            self.plan.note(f"{self._target.suffix} has no place for {', '.join(lost)} of the {what}")

    def _is_the_films_moment(self, key: str, stream: Stream) -> bool:
        return key.lower() == "creation_time" and stream.metadata[key] in (
            value for name, value in self._source.metadata.items() if name.lower() == "creation_time"
        )

    def _take(self, stream: Stream) -> None:
        codec, suffix = codec_name(stream), self._target.suffix
        if self._fit.can_hold(self._format, stream):
            if not self._fit.holds_as_it_is(self._format, stream):
                self.plan.as_text.add(stream.index)
                self.plan.note(f"{codec} subtitles become {TEXT_CODEC_OF[self._format]}: styles may be lost")
        elif self._unfit == "convert" and self._fit.holds_as_pcm(self._format, stream):
            self.plan.as_pcm.add(stream.index)
            self.plan.note(f"{codec} sound becomes {pcm_codec(stream)}: {suffix} cannot hold it as it is")
        elif self._unfit == "drop":
            what = f"{_described(stream)}, language {stream.language or 'not stated'},"
            obstacle = f"{suffix} cannot hold it" if has_decoder(stream) else "it cannot be copied"
            self.plan.note(f"{what} is left out, as asked: {obstacle}")
            return
        else:
            raise self._refusal(stream)
        self.plan.streams.append(stream)

    def _refusal(self, stream: Stream) -> OutputError:
        what = _described(stream)
        if not has_decoder(stream):
            return OutputError(
                f"Cannot write {self._target}: {what}, language {stream.language or 'not stated'}, cannot be copied",
                "Leave it out with --unfit drop.",
            )
        others = [suffix for suffix in self._suffixes if suffix != ".m4v" and self._would_fit(suffix)]
        ways = [f"Write to {' or '.join(others)}"] if others else []
        if self._fit.holds_as_pcm(self._format, stream):
            ways.append("have it decoded to PCM with --unfit convert")
        ways.append("leave it out with --unfit drop")
        hint = ", or ".join(ways)
        if isinstance(stream, AudioStream) and stream.codec_context and not stream.codec_context.sample_rate:
            what += " whose sample rate cannot be told (it may be damaged, or begin far into the film)"
        return OutputError(
            f"Cannot write {self._target}: {self._format} cannot hold {what}",
            f"{hint[0].upper()}{hint[1:]}.",
        )

    def _would_fit(self, suffix: str) -> bool:
        copied = [stream for stream in self._source.streams if stream.type in ("audio", "subtitle")]
        return all(self._fit.can_hold(CONTAINERS[suffix], stream) for stream in copied)

    def _take_attachment(self, stream: Stream) -> None:
        if self._format == "matroska":
            self.plan.streams.append(stream)
            return
        name = readable(stream.metadata.get("filename", "unnamed"))
        self.plan.note(f"the attachment {name} is left out: only .mkv holds attachments")

    def _holds_chapters(self, stream: Stream) -> bool:
        """MP4 and MOV keep the titles of chapters in a track, which FFmpeg reads as chapters and as data."""
        return 0 < stream.frames == len(self._source.chapters()) and "timecode" not in stream.metadata

    def _holds_timecode(self, stream: Stream) -> bool:
        """MP4 and MOV keep the picture's timecode in a track, which FFmpeg reads as the picture's tag and as data."""
        timecode = timecode_in(stream.metadata)
        return timecode is not None and timecode == timecode_in(main_video(self._source, self._path).metadata)

    def _take_cover(self, stream: VideoStream) -> None:
        cover = read_cover(self._path, stream, self._format)
        if cover:
            self.plan.covers.append(cover)
        else:
            self.plan.note(f"the cover picture is left out: {self._target.suffix} has no place for it")


def _described(stream: Stream) -> str:
    if has_decoder(stream):
        return f"{stream.type} of codec {codec_name(stream)}"
    return f"{stream.type} of a codec for which there is no decoder here (stream {stream.index}, id {stream.id:#x})"
