"""One connection to a live source that FFmpeg reads: opened, demuxed, its pictures decoded, its sound handed on."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from av.audio.stream import AudioStream
from av.codec.context import Flags as CodecFlags
from av.format import Flags as FormatFlags
from av.packet import Packet
from av.video.frame import VideoFrame

from lipt_stream.errors import AbsentError, AddressError, InputError
from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.backlog import Backlog
from lipt_stream.media.containers import open_film, packets_of
from lipt_stream.media.decoder import DAMAGE, main_video
from lipt_stream.media.live import LiveItem, LivePicture, LiveSound, LiveSource, PassedOver
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.live_connect import connect
from lipt_stream.media.live_errors import live_error
from lipt_stream.media.live_streams import TIME_BASE, described, encoded_stream, is_known
from lipt_stream.media.pace import HeldSound, Pace
from lipt_stream.media.side_data import LOST_SIDE_DATA, side_data_of
from lipt_stream.media.test_card import TestCard
from lipt_stream.media.timeline import may_be_joined

_FIRST_PICTURE_SECONDS: Final = 10  # cameras send a keyframe every 1 to 10 s
_LOST: Final = {
    **LOST_SIDE_DATA,
    "MASTERING_DISPLAY_METADATA": "HDR10 metadata (mastering display) is not carried over",
    "CONTENT_LIGHT_LEVEL": "HDR10 metadata (content light) is not carried over",
}
_ENDLESS_BYTES: Final = 2**31 - 1
_GIVE_UP_AFTER: Final = 100  # read errors of a file in a row


def open_live(
    address: LiveAddress, *, open_timeout_seconds: float, read_timeout_seconds: float, cancelled: threading.Event
) -> LiveSource:
    """Connects to `address`. See LiveInput and TestCard."""
    if address.kind == "test":
        return TestCard(address, cancelled=cancelled)
    return LiveInput(
        address,
        open_timeout_seconds=open_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
        cancelled=cancelled,
    )


class LiveInput:
    """Pictures and sound of one connection; the first picture is decoded at once. A LiveSource.

    Cameras and streams come as they come, decoded without delay; where decoding takes longer than that, pictures are
    passed over, undecoded, up to a keyframe that has only just come. Files, and streams that come in pieces (HLS), are
    held back to their own speed. A file that loops goes on with increasing time.

    `open_timeout_seconds` bounds the connection and the probing, each; `read_timeout_seconds` each packet. FFmpeg may
    hang beyond them, in the look-up of a name for instance. `cancelled` ends the iteration at the next packet.

    Raises AddressError, AbsentError or InputError with the address as it may be shown.
    """

    def __init__(
        self,
        address: LiveAddress,
        *,
        open_timeout_seconds: float,
        read_timeout_seconds: float,
        cancelled: threading.Event,
    ) -> None:
        self._address, self._cancelled = address, cancelled
        self._timeouts = (open_timeout_seconds, read_timeout_seconds)
        self.notes: list[str] = []
        self.damaged = 0
        with ExitStack() as opened:
            self._open()
            opened.callback(self.close)
            format_name = self._container.format.name
            is_in_pieces = format_name == "hls"
            self._pace = Pace(cancelled, may_jump=is_in_pieces or may_be_joined(format_name))
            self._held_sound = HeldSound(self._pace)
            self._backlog = Backlog()
            self.is_finite = address.kind == "file" or (address.kind == "http" and self._states_its_end())
            self._is_paced = self.is_finite or is_in_pieces
            self._configure_decoder()
            self._note_others()
            self._items = self._read()
            early, first = self._until_first_picture()
            self._early = [first, *early]
            self.video_format, notes = described(self._video, first.picture, is_timeless=self._is_timeless)
            self.notes += notes
            opened.pop_all()

    def _open(self) -> None:
        address = self._address
        try:
            is_file = address.kind == "file"
            self._container = open_film(Path(address.url)) if is_file else connect(address, self._timeouts)
        except InputError as error:
            raise AddressError(error.message, error.hint) from error
        except AV_ERRORS as error:
            raise live_error(error, address, is_open=False) from None  # av's holds the address with its password
        try:
            self._video = main_video(self._container, address.shown)
        except InputError as error:
            self.close()
            raise AddressError(error.message, "Name something with pictures.") from error
        self._sound = next((stream for stream in self._container.streams.audio if is_known(stream)), None)
        self.audio = encoded_stream(self._sound) if self._sound else None

    def _states_its_end(self) -> bool:
        """Of what comes over HTTP. Cameras that must state a length state one that is never reached."""
        match self._container.format.name:
            case "hls":
                return bool(self._container.duration)
            case "mpjpeg":
                return False
            case _:
                return 0 < self._container.size < _ENDLESS_BYTES

    def _configure_decoder(self) -> None:
        """Threads by frame and reordering cost pictures of delay, which only what is held back anyway can afford."""
        context = self._video.codec_context
        if self._is_paced:
            self._video.thread_type = "AUTO"  # pyright: ignore[reportAttributeAccessIssue] the setter takes the name
        else:
            self._video.thread_type = "SLICE"  # pyright: ignore[reportAttributeAccessIssue]
            context.flags |= CodecFlags.low_delay.value
        context.thread_count = 0

    def _note_others(self) -> None:
        for kind in ("video", "audio"):
            count = len(getattr(self._container.streams, kind))
            if count > 1:
                self._note(f"the source holds {count} {kind} streams, only one is used")

    def _until_first_picture(self) -> tuple[list[LiveSound], LivePicture]:
        """The first picture, and the sound that came before it. What could not be decoded before is no damage: a
        stream is joined in the middle."""
        sounds: list[LiveSound] = []
        for item in self._items:
            if isinstance(item, LivePicture):
                self.damaged = 0
                return sounds, item
            if isinstance(item, LiveSound):
                sounds.append(item)
        if self._cancelled.is_set():
            raise AbsentError(f"Cannot read {self._address.shown}: given up")
        raise AddressError(f"Cannot read {self._address.shown}: no picture in it can be decoded", "Is it a video?")

    @property
    def _is_timeless(self) -> bool:
        """Of a format that states no times: what FFmpeg counts then are 25 pictures a second, whatever comes."""
        return not self._is_paced and bool(self._container.format.flags & FormatFlags.no_timestamps.value)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def __iter__(self) -> Iterator[LiveItem]:
        return itertools.chain(self._early, self._items)

    def _read(self) -> Iterator[LiveItem]:
        deadline = time.monotonic() + _FIRST_PICTURE_SECONDS
        has_begun = False
        for packet in self._looped_packets():
            if not has_begun and time.monotonic() > deadline:
                seconds = f"{_FIRST_PICTURE_SECONDS} s"
                raise AbsentError(f"Cannot read {self._address.shown}: it sends, but no picture in {seconds}")
            if isinstance(packet.stream, AudioStream):
                sound = self._sound_of(packet)
                yield from self._held_sound.put(sound) if self._is_paced else (sound,)
                continue
            if self._backlog.passes_over(is_keyframe=packet.is_keyframe):
                self._pass_over()
                yield PassedOver()
                continue
            for picture in self._decoded(packet):
                has_begun = True
                yield from self._timed(picture)
        yield from self._held_sound.rest()

    def _looped_packets(self) -> Iterator[Packet[Any]]:
        """Packets, the decoder's draining at the end of a file, and the file again where it loops."""
        while True:
            yield from self._packets()
            if self._cancelled.is_set() or not self.is_finite:
                return
            yield Packet(0)
            if not self._address.loop:
                return
            self.close()
            self._open()
            self._configure_decoder()
            self._pace.begin_again()

    def _packets(self) -> Iterator[Packet[Any]]:
        streams = [self._video] + ([self._sound] if self._sound else [])
        errors_in_a_row = 0
        while True:
            try:
                asked_seconds = time.monotonic()
                for packet in packets_of(self._container, streams):
                    if self._cancelled.is_set():
                        return
                    if packet.size:  # an empty one would tell the decoder that all is over
                        errors_in_a_row = 0
                        self._note_backlog(packet, asked_seconds)
                        yield packet
                    asked_seconds = time.monotonic()
                return
            except AV_ERRORS as error:
                errors_in_a_row += 1
                self.damaged += errors_in_a_row == 1
                if self._address.kind != "file" or errors_in_a_row == _GIVE_UP_AFTER:
                    raise live_error(error, self._address, is_open=True) from None

    def _note_backlog(self, packet: Packet[Any], asked_seconds: float) -> None:
        if self._is_paced or self._is_timeless:
            return
        ticks = packet.pts if packet.dts is None else packet.dts
        seconds = None if ticks is None or isinstance(packet.stream, AudioStream) else ticks * packet.time_base
        self._backlog.read(seconds, asked_seconds, time.monotonic())

    def _pass_over(self) -> None:
        """Leaves a packet undecoded. Raises AbsentError where there has been nothing to go on from for too long."""
        if self._backlog.passed_over == 1:
            self._video.codec_context.flush_buffers()  # what comes next is a keyframe
            self._note("decoding takes longer than the source's pictures come: some are passed over, up to a keyframe")
        if self._backlog.lacks_keyframe:
            raise AbsentError(
                f"Decoding {self._address.shown} takes longer than its pictures come, and it sends few keyframes",
                "Ask it for a smaller stream, or for more of them.",
            )

    def _decoded(self, packet: Packet[Any]) -> Iterator[VideoFrame]:
        try:
            pictures = self._video.codec_context.decode(packet if packet.size else None)
        except EOFError:
            return  # it was drained already
        except DAMAGE:
            self.damaged += 1
            return
        for picture in pictures:
            self.damaged += picture.is_corrupt
            yield picture

    def _timed(self, picture: VideoFrame) -> Iterator[LiveItem]:
        """The picture, and before it the sound that was held until then."""
        for lost in _LOST.keys() & side_data_of(picture).keys():
            self._note(_LOST[lost])
        time_base = self._video.time_base or TIME_BASE
        # AVI tells when a picture is decoded, and the decoder gives them in the order in which they are shown.
        is_avi = self._container.format.name == "avi"
        ticks = picture.dts if is_avi or picture.pts is None else picture.pts
        seconds = None if ticks is None else ticks * time_base
        if self._is_paced:
            seconds = self._pace.place(seconds, picture.duration * time_base)
            yield from self._held_sound.before(seconds)
            self._pace.hold(seconds)
        elif self._is_timeless:
            seconds = None
        yield LivePicture(picture=picture, time_seconds=seconds, arrived_seconds=self._arrived())

    def _arrived(self) -> float:
        return time.monotonic() - self._backlog.seconds

    def _sound_of(self, packet: Packet[Any]) -> LiveSound:
        ticks = packet.pts if packet.pts is not None else packet.dts
        seconds = None if ticks is None else ticks * packet.time_base
        return LiveSound(
            data=bytes(packet),
            time_seconds=self._pace.shifted(seconds) if self._is_paced and seconds is not None else seconds,
            duration_seconds=max(packet.duration or 0, 0) * packet.time_base,
            arrived_seconds=self._arrived(),
        )

    def close(self) -> None:
        self._container.close()
