"""One video stream of one file, decoded picture by picture, past damage and to the very last picture."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media.av_errors import reading, reason
from lipt_stream.media.containers import open_film, packets_of, share_decoding
from lipt_stream.media.timeline import FileClock, may_be_joined

DAMAGE: Final = (FFmpegError, UnicodeDecodeError, MemoryError)
GIVE_UP_AFTER: Final = 100  # read errors in a row: the demuxer makes no way any more
_SEEK_BACK_SECONDS: Final = (0, 10, 60)


class VideoDecoder:
    """Pictures in presentation order. A damaged packet is counted and the film goes on behind it."""

    def __init__(self, path: Path, threads: int | None) -> None:
        self.path = path
        self._threads = threads
        self._open()

    def _open(self) -> None:
        self._container = open_film(self.path)
        self._forget()
        self.stream = self._configured(main_video(self._container, self.path))

    def _forget(self) -> None:
        """What was met on the way, before another is taken: the clock too, which would take a step back for a jump."""
        self.clock = FileClock(self._container.format.name)
        self.damaged = 0
        self.last_damage = ""
        self.gave_up = False  # amid the film, because no further packet could be read
        self.packets = 0
        self.read_to: int | None = None  # the byte at which the last packet ends, where the format tells
        self._has_keyframe = False
        self._before_keyframe = 0

    def _configured(self, stream: VideoStream) -> VideoStream:
        with reading(self.path):
            share_decoding(stream, self._threads)
        return stream

    @property
    def container(self) -> InputContainer:
        return self._container

    @property
    def lead_in(self) -> int:
        """Packets read before the first keyframe."""
        return self._before_keyframe if self._has_keyframe else 0

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture that the decoder yields, the ones it still holds at the end of the file included."""
        context = self.stream.codec_context
        for packet in self._packets_on_one_clock():
            try:
                yield from context.decode(packet)
            except DAMAGE as error:
                self._count_damage(error)
        try:
            yield from context.decode(None)
        except EOFError:
            return  # it was drained already
        except DAMAGE as error:
            self._count_damage(error)

    def pictures_from(self, pts: int) -> Iterator[VideoFrame]:
        """Pictures from a keyframe at or before `pts` on; the caller skips those before it.

        Where seeking lands too late (an open group of pictures, a damaged index), it goes further back, and in the
        end starts over from the beginning. So it does where the file's clock jumps.
        """
        assert self.stream.time_base is not None
        for back_seconds in () if has_jumps(self.path) else self._seek_back_seconds:
            target = pts - int(back_seconds / self.stream.time_base)
            try:
                self._container.seek(target, stream=self.stream)
            except DAMAGE:
                break  # this format cannot seek: start over below
            self._forget()
            pictures = self.pictures()
            first = next(pictures, None)
            if first is not None and first.pts is not None and first.pts <= pts:
                yield first
                yield from pictures
                return
        self.close()
        self._open()
        yield from self.pictures()

    @property
    def _seek_back_seconds(self) -> tuple[int, ...]:
        """In a program stream, whose packets may begin several pictures of which one alone has a time, FFmpeg's times
        behind a seek are wrong up to the next that is stated."""
        return _SEEK_BACK_SECONDS[1:] if self._container.format.name == "mpeg" else _SEEK_BACK_SECONDS

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets with something in them. A read error is counted and reading goes on behind it."""
        errors_in_a_row = 0
        while errors_in_a_row < GIVE_UP_AFTER:
            try:
                for packet in picture_packets(self._container, self.stream, self.clock):
                    errors_in_a_row = 0
                    self._note_place(packet)
                    yield packet
                return
            except DAMAGE as error:
                errors_in_a_row += 1
                if errors_in_a_row == 1:
                    self._count_damage(error)
        self.gave_up = True

    def _note_place(self, packet: Packet[VideoStream]) -> None:
        self.packets += 1
        self._has_keyframe = self._has_keyframe or packet.is_keyframe
        self._before_keyframe += not self._has_keyframe
        self.read_to = None if packet.pos is None else packet.pos + packet.size

    def _packets_on_one_clock(self) -> Iterator[Packet[VideoStream]]:
        """Packets with their times where they are after the jumps of the file's clock. Each waits for the next one,
        which tells whether there was a jump."""
        held, offset = None, Fraction(0)
        for packet in self._packets():
            if show(self.clock, packet):
                offset = self.clock.offset
            if held is not None:
                yield _moved(held, offset)
            held, offset = packet, self.clock.offset
        if held is not None:
            yield _moved(held, offset)

    def _count_damage(self, error: BaseException) -> None:
        self.damaged += 1
        self.last_damage = reason(error)

    def close(self) -> None:
        self._container.close()


def picture_packets(container: InputContainer, picture: VideoStream, clock: FileClock) -> Iterator[Packet[VideoStream]]:
    """Those of `picture` that hold something: an empty one would tell a decoder that the film is over. `clock` hears
    the sound between them."""
    for packet in packets_of(container, [picture, *sounds_for_clock(container)]):
        if packet.stream_index == picture.index and packet.size:
            yield cast("Packet[VideoStream]", packet)
        elif packet.size:
            hear(clock, packet)


def readable_packets(source: InputContainer, streams: Sequence[Stream], notes: list[str]) -> Iterator[Packet[Stream]]:
    """Packets of `streams`; read errors are noted once and reading goes on behind them, as long as it makes way."""
    errors_in_a_row, why = 0, ""
    while errors_in_a_row < GIVE_UP_AFTER:
        try:
            for packet in packets_of(source, streams):
                if packet.size:
                    errors_in_a_row = 0
                    yield packet
            return
        except DAMAGE as error:
            if not why:
                notes.append(f"the copied streams are damaged in places ({reason(error)})")
            errors_in_a_row, why = errors_in_a_row + 1, reason(error)
    notes.append(f"the copied streams can be read no further ({why}): they end early")


def sounds_for_clock(container: InputContainer) -> tuple[AudioStream, ...]:
    """Those that a FileClock must hear, to tell where recordings were joined."""
    return container.streams.audio if may_be_joined(container.format.name) else ()


def _moved(packet: Packet[VideoStream], seconds: Fraction) -> Packet[VideoStream]:
    if seconds:
        ticks = round(seconds / packet.time_base)
        packet.dts = None if packet.dts is None else packet.dts + ticks
        packet.pts = None if packet.pts is None else packet.pts + ticks
    return packet


def show(clock: FileClock, packet: Packet[VideoStream] | Packet[Stream]) -> bool:
    """Lets `clock` see the next packet of the picture, and returns what its `saw` does. One that an edit list hides has
    a time of its own."""
    if packet.dts is None or packet.is_discard:
        return False
    pts, unit = packet.dts if packet.pts is None else packet.pts, packet.time_base
    return clock.saw(packet.dts * unit, pts * unit, (packet.duration or 0) * unit)


def hear(clock: FileClock, packet: Packet[Stream]) -> None:
    """Lets `clock` hear the next packet of a sound."""
    time = packet.dts if packet.dts is not None else packet.pts
    if time is not None:
        clock.heard(packet.stream_index, time * packet.time_base)


def has_jumps(path: Path) -> bool:
    """Whether the clock of the film jumps, so that a time is no place in it, and seeking leads astray.

    So it does in a long pause of the picture, which counts too, for no sound is heard here. Where its format makes
    jumps likely, the whole file is read, and nothing decoded. Raises InputError.
    """
    with reading(path):
        about = path.stat()
    return _has_jumps(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=16)  # picture and sound of a cut ask for the same film
def _has_jumps(path: Path, _size: int, _changed_ns: int) -> bool:
    with open_film(path) as container:
        if not may_be_joined(container.format.name):
            return False
        clock = FileClock(container.format.name)
        try:
            for packet in packets_of(container, [main_video(container, path)]):
                show(clock, packet)
        except DAMAGE:
            return True  # whoever reads it from its beginning will say so
        return clock.jumps > 0


def main_video(container: InputContainer, path: Path | str) -> VideoStream:
    """The first video stream that is no cover picture. Raises InputError where there is none to decode."""
    for stream in container.streams.video:
        if is_cover(stream):
            continue
        if stream.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison] the stub is too hopeful
            raise InputError(
                f"Cannot read {path}: there is no decoder for its video", "Convert it first, to H.264 for instance."
            )
        return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams if stream.type != "video"}))  # but covers
    if container.streams.video and not kinds:
        kinds = "a cover picture"
    held = f"it holds no video, only {kinds}" if kinds else "it holds nothing that can be read"
    raise InputError(f"Cannot read {path}: {held}", "Name a file with pictures.")


def is_cover(stream: VideoStream) -> bool:
    """Whether `stream` is a still picture attached to the film."""
    return bool(stream.disposition & Disposition.attached_pic)


def origin_seconds(stream: VideoStream) -> Fraction:
    """The time of the film's first picture, from which cuts count; 0 where the file does not tell."""
    if stream.start_time is None or stream.time_base is None:
        return Fraction(0)
    return stream.start_time * stream.time_base
