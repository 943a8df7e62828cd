"""A film written to a file: the upscaled picture encoded, all else copied from the source."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.packet import Packet
from av.video.stream import VideoStream

from lipt_stream.errors import OutputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media import matroska_aspect
from lipt_stream.media.av_errors import AV_ERRORS, output_error, reason, writing
from lipt_stream.media.containers import container_format, plays
from lipt_stream.media.copy_plan import Unfit
from lipt_stream.media.encoders import EncoderChoice, configure, fitting_pix_fmt, open_encoder
from lipt_stream.media.hdr import hdr_losses, hdr_options
from lipt_stream.media.matroska_times import MatroskaTimes
from lipt_stream.media.muxer_options import container_losses, muxer_options
from lipt_stream.media.part_file import PartFile, refuse_unwritable
from lipt_stream.media.pixels import PictureWriter
from lipt_stream.media.remux import StreamCopy
from lipt_stream.media.timeline import Cut, decoding_times

_DISPLAY_MATRIX: Final = struct.Struct("=9i")
_FAR_SECONDS: Final = 10  # from zero: transport streams that are no recordings begin a second or two after it


class FileSink:
    """Encodes pictures of `format` into `path`, beside the streams of `copy_from`, interleaved by time.

    The container follows the suffix. The encoder's clock is `format.time_base`, so a variable frame rate comes out
    as it went in; colour tags, sample aspect ratio, rotation and static HDR metadata are written. The file is called
    `NAME.part` until `close`. What a killed run left under that name is kept under one that says partial.

    All that can be refused is refused here, before any work: OutputError for the path, an existing file without
    `overwrite`, one that another run writes, a size, codec or copied stream that encoder or container cannot hold;
    SettingsError for a wrong cut.
    `start_seconds`, `end_seconds` cut the copied streams as they cut the picture. `threads` None: the encoder's own.
    `unfit`: what becomes of sound and subtitles that the container cannot hold.
    """

    def __init__(
        self,
        path: Path | str,
        format: VideoFormat,
        *,
        encoder: EncoderChoice,
        copy_from: Path | None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        overwrite: bool = False,
        threads: int | None = None,
        unfit: Unfit = "refuse",
    ) -> None:
        self.path = Path(path)
        self.format = format
        self.frames_written = 0
        self.delay_ticks = 0
        """How much later all streams come, or (below zero) earlier; known from the first picture on."""
        self._kept: Path | None = None  # what `abort` kept
        self._own_notes: list[str] = []
        self._encoder = encoder
        self._threads = threads or 0
        self._overwrite = overwrite
        self._container_name = container_format(self.path)
        self._times = MatroskaTimes(format.time_base) if self._container_name in ("matroska", "webm") else None
        self._check_codec_fits()
        with writing(self.path):  # a name too long, a folder that may not be entered
            refuse_unwritable(self.path, copy_from)
            self._refuse_existing()
        self._pix_fmt, losses = fitting_pix_fmt(encoder, format, self.path)
        self._own_notes += losses + container_losses(self.path, encoder.info.codec, format)
        self._aspect_is_lost = matroska_aspect.is_needed(
            self._container_name, encoder.info.codec, format.sample_aspect_ratio
        )
        cut = Cut.of_seconds(start_seconds, end_seconds)
        self._copies = None
        if copy_from is not None:
            self._copies = StreamCopy(copy_from, self.path, cut, sorted(self._encoder.info.suffixes), unfit)
        try:
            with writing(self.path):
                self._part = PartFile(self.path)
        except OutputError:
            self._release_copies()
            raise
        if self._part.set_aside:
            self._own_notes.append(f"what a run that was killed had written is kept in {self._part.set_aside}")
        if self._part.unlocked_because:
            why = self._part.unlocked_because
            self._own_notes.append(f"a second run on this output is not refused: locking fails here ({why})")
        try:
            self._open()
        except BaseException:
            self._release_copies()
            self._part.remove()
            raise

    @property
    def moved_ticks(self) -> Mapping[int, int]:
        """By how much single pictures come later than they were written, by their number: see MatroskaTimes."""
        return self._times.moved_ticks if self._times else {}

    @property
    def notes(self) -> list[str]:
        """What is lost or changed in the result. Complete once it is closed."""
        others = (*(self._times.notes if self._times else ()), *(self._copies.notes if self._copies else ()))
        return [*self._own_notes, *others]

    def _check_codec_fits(self) -> None:
        info = self._encoder.info
        if self.path.suffix.lower() not in info.suffixes:
            fitting = " or ".join(sorted(info.suffixes))
            raise OutputError(
                f"Cannot write {self.path}: {self._container_name} does not hold {info.codec} video from {info.name}",
                f"Write to {fitting}, or choose another --encoder.",
            )

    def _refuse_existing(self) -> None:
        if self.path.exists() and not self._overwrite:
            raise OutputError(f"Cannot write {self.path}: it exists already", "Give --overwrite to replace it.")

    def _open(self) -> None:
        with writing(self.path):
            options = muxer_options(
                self._container_name,
                self.format.time_base,
                in_fragments=self._copies is None or self._copies.suits_fragments,
                aspect_is_written_later=self._aspect_is_lost,
            )
            self._container = av.open(
                f"file:{self._part.path}", "w", format=self._container_name, container_options=options
            )
            stream = self._container.add_stream(self._encoder.name, self.format.frame_rate or 25)
            assert isinstance(stream, VideoStream)
            self._stream = stream
            stream.time_base = self.format.time_base
            if self._copies:
                self._copies.attach(self._container)
        self._writer = PictureWriter(self.format, self._pix_fmt)
        self._durations: dict[int | None, int] = {}  # of pictures inside the encoder, by pts
        self._first_dts: int | None = None
        self._state = "open"

    def write(self, frame: Frame) -> None:
        self._refuse_unless_open()
        if self.frames_written == 0:
            self._configure_encoder(frame)
        with self._muxing():
            picture = self._writer.fill(frame.planes)
            pts = frame.pts + self.delay_ticks
            pts = self._times.next(pts) if self._times else pts
            picture.pts, picture.duration, picture.time_base = pts, frame.duration, self.format.time_base
            self._durations[pts] = frame.duration
            self._end_pts = pts + frame.duration
            self._mux(self._stream.encode(picture))
        self.frames_written += 1

    def _configure_encoder(self, first: Frame) -> None:
        """At the first picture, because only it tells of HDR metadata."""
        self._begin_at_zero(first.pts)
        self._own_notes += hdr_losses(self._encoder.name, first.side_data)
        options = hdr_options(self._encoder.name, first.side_data, self._encoder.open_options())
        self._orient(first.side_data.get("DISPLAYMATRIX", b""))
        with writing(self.path):
            context = self._stream.codec_context
            configure(context, self.format, self._pix_fmt, options)
            context.thread_count = self._threads
            if self._encoder.info.codec == "hevc" and self._container_name != "matroska":
                context.codec_tag = "hvc1"  # the tag that Apple's players ask for
            open_encoder(context)

    def _orient(self, matrix: bytes) -> None:
        """How players turn and mirror the picture: by the source's own matrix, FFmpeg's 9 int32; else by rotation."""
        if len(matrix) == _DISPLAY_MATRIX.size:
            turn = list(_DISPLAY_MATRIX.unpack(matrix))
            turn[6] = turn[7] = 0  # a shift in pixels of the source's size; players move the turned picture into view
            self._stream.set_display_matrix(turn)
        elif self.format.rotation:
            self._stream.set_display_rotation(self.format.rotation)

    def _begin_at_zero(self, first_pts: int) -> None:
        """Moves all streams so that no picture comes before time zero, where players do not begin to look; and to zero
        where a recording's clock counts from far off, which players would show as hours of nothing."""
        unit = self.format.time_base
        self.delay_ticks = max(0, -first_pts)
        lead = self._copies.lead_seconds if self._copies else None
        begins = first_pts * unit - (lead or 0)
        if self.delay_ticks:
            self._own_notes.append(
                f"the film begins before zero; all streams are moved by {float(self.delay_ticks * unit):g} s"
            )
        elif lead is not None and begins > _FAR_SECONDS:
            self.delay_ticks = -int(begins / unit)
            self._own_notes.append(f"the recording's clock begins at {float(begins):.1f} s; the film begins at zero")
        self._first_pts = first_pts + self.delay_ticks
        if self.delay_ticks and self._copies:
            self._copies.delay(self._container, self.delay_ticks * unit)

    @contextmanager
    def _muxing(self) -> Generator[None]:
        """Whoever fails in here leaves a muxer that takes nothing more: FFmpeg's for MP4 crashes on the next packet
        where its header found no room."""
        try:
            with writing(self.path):
                yield
        except BaseException:
            self._state = "failed"
            raise

    def _mux(self, packets: list[Packet[VideoStream]]) -> None:
        """Muxes packets of the picture, and before each what the copied streams have up to its time."""
        for packet in packets:
            # Not every encoder hands the duration through, and the last one can be told by nothing else.
            packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
            if packet.dts is not None:
                self._first_dts = packet.dts if self._first_dts is None else self._first_dts
                if self._copies:
                    self._copies.mux_until(self._container, packet.dts * packet.time_base)
            self._container.mux_one(packet)

    def _drain(self) -> None:
        """Muxes what the encoder still holds."""
        packets: list[Packet[VideoStream]] = self._stream.encode(None)
        if self._first_dts is None:
            # The film is shorter than the encoder's look-ahead; x265 then gives decoding times out of thin air.
            for packet, dts in zip(packets, decoding_times([p.pts for p in packets if p.pts is not None]), strict=True):
                packet.dts = dts
        if packets and self._container_name in ("mp4", "mov"):
            # These containers count a track's length in decoding order, where the last packet need not be the last
            # picture: it is given what is missing, or the film would end early by up to a frame.
            last, first_dts = packets[-1], packets[0].dts if self._first_dts is None else self._first_dts
            if last.dts is not None and first_dts is not None:
                decoded_span = last.dts - first_dts
                self._durations[last.pts] = max(1, self._end_pts - self._first_pts - decoded_span)
        self._mux(packets)

    def finish(self) -> Path:
        """Drains the encoder, finishes the copied streams and ends the file: it is whole, and not yet under its name.

        Returns where it is until `close` or `abort`. Raises OutputError; call `abort` then.
        """
        if self._state == "whole":
            return self._part.path
        self._refuse_unless_open()
        if self.frames_written == 0:
            raise OutputError(f"Nothing was written to {self.path}: no picture came")
        with self._muxing():
            self._drain()
            if self._copies:
                self._copies.finish(self._container)
            self._end_file()
        self._release_copies()
        self._state = "whole"
        return self._part.path

    def close(self) -> None:
        if self._state == "closed":
            return
        self.finish()
        with writing(self.path):
            self._refuse_existing()
            self._part.rename(self.path)
        self._state = "closed"

    def _refuse_unless_open(self) -> None:
        if self._state != "open":
            raise ValueError(f"{self.path} is finished and takes no more pictures")

    def _end_file(self) -> None:
        self._container.close()
        if self._aspect_is_lost and not matroska_aspect.write_display_aspect(self._part.path, self._display_aspect):
            self._own_notes.append(f"the sample aspect ratio {self.format.sample_aspect_ratio} could not be written")

    @property
    def _display_aspect(self) -> Fraction:
        return Fraction(self.format.width, self.format.height) * self.format.sample_aspect_ratio

    def abort(self) -> Path | None:
        """Drains what the encoder holds, ends the file, and keeps it as NAME.partial.EXT if it plays. One that `finish`
        has ended is kept as it is."""
        if self._state == "closed":
            return self._kept
        try:
            if self._state == "open" and self.frames_written:
                self._state = "failed"  # what is interrupted here is not tried again
                self._drain()
        except AV_ERRORS as error:
            self._own_notes.append(f"pictures that the encoder still held are lost ({reason(error)})")
        finally:  # a second Ctrl-C ends the draining, and no more
            self._keep()
        return self._kept

    def _keep(self) -> None:
        is_whole = self._state == "whole"
        if not is_whole:
            self._end_partial_file()
        if is_whole or (self.frames_written and plays(self._part.path)):
            self._kept = self._part.keep()
        else:
            self._part.remove()
        self._state = "closed"

    def _end_partial_file(self) -> None:
        try:
            self._end_file()
        except AV_ERRORS as error:
            why = output_error(error, self._part.path).message
            self._own_notes.append(f"the partial file could not be ended: {why}")
        self._release_copies()

    def _release_copies(self) -> None:
        if self._copies:
            self._copies.close()
