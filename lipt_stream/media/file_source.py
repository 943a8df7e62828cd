"""Pictures from a file, each once and with its own time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Final

import av
from av.video.frame import VideoFrame

from lipt_stream.errors import InputError
from lipt_stream.frame import END, End, Frame, Planes, VideoFormat
from lipt_stream.media.av_errors import reading
from lipt_stream.media.changes import changes_within
from lipt_stream.media.completeness import Gaps, Witness, early_end, fewer_than_stated, stated_end
from lipt_stream.media.crop import cropped_edges, in_words
from lipt_stream.media.decoder import VideoDecoder, is_cover, origin_seconds
from lipt_stream.media.deinterlace import Deinterlace, Deinterlacer, TimedPicture
from lipt_stream.media.picture_format import believable_rate, picture_format
from lipt_stream.media.pixels import PlaneReader, plan_delivery
from lipt_stream.media.side_data import losses, side_data_of
from lipt_stream.media.timeline import Cut, OneAhead, PtsClock

# Static HDR metadata (SMPTE ST 2086, CTA-861.3), which the sink writes through the encoder's options, and the matrix
# by which a player turns or mirrors the picture, which it writes into the container.
CARRIED_SIDE_DATA: Final = frozenset({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DISPLAYMATRIX"})
_PROGRESSIVE: Final = 1  # FFmpeg's AVFieldOrder; 0 is unknown, those above are interlaced


class FileSource:
    """The main video stream of a local file, as YUV 4:2:0 of 8, 10 or 12 bits, with the file's own timestamps.

    `start_seconds`, `end_seconds` keep the pictures with start <= t < end, t counting from the first picture;
    with a start, timestamps are moved so that the start is 0. Variable rate, offset and negative timestamps stay.
    `deinterlace`: "auto" those pictures that are flagged, "off" none, "on" all; each becomes one picture.
    The first picture is decoded at once, because only pictures tell size, pixel format and colour for certain.

    Raises InputError: not there, not a video, no picture decodes, nothing inside the cut. SettingsError: a wrong cut.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
        deinterlace: Deinterlace = "auto",
        threads: int | None = None,
    ) -> None:
        self.path = Path(path)
        self._deinterlace: Deinterlace = deinterlace
        self._deinterlacer = Deinterlacer(deinterlace, threads)
        self._cut = Cut.of_seconds(start_seconds, end_seconds)
        self.notes: list[str] = []
        with ExitStack() as opened:
            self._decoder = VideoDecoder(self.path, threads)
            opened.callback(self._decoder.close)
            self._witness = Witness(self.path)
            opened.callback(self._witness.close)
            self._start()
            self._opened = opened.pop_all()
            self._is_open = True

    def _start(self) -> None:
        stream = self._decoder.stream
        self._time_base = stream.time_base or Fraction(1, 90_000)
        self._origin = origin_seconds(stream)
        self._rate = believable_rate(stream)
        nominal_ticks = 1 / ((self._rate or Fraction(25)) * self._time_base)
        self._clock = PtsClock(round(nominal_ticks), step=ceil(Fraction(1, 1_000) / self._time_base))
        self._gaps = Gaps.of(stream, nominal_ticks if self._rate else None)
        self._avi_delay: int | None = None  # of a picture's decoding time against its showing
        self._avi_next: int | None = None
        self._end_seconds = Fraction(0)  # of the last picture, on the file's own clock
        self._shift = round(self._cut.shift_seconds(self._origin) / self._time_base)
        self._corrupt = 0
        self._next_index = 0
        timed = self._timed_pictures()
        first = next(timed, None)
        if first is None:
            raise self._nothing_to_show()
        self._bitstream_aspect = stream.codec_context.sample_aspect_ratio
        # Where the first picture is a keyframe, what was read before it was not decodable without one.
        self._lead_in = self._decoder.lead_in if first.decoded.key_frame and self._cut.start is None else 0
        self._pictures = self._deinterlacer.through(itertools.chain([first], timed))
        self.format = self._format_of(first.decoded)
        self._reader = PlaneReader(self.format)
        self._describe_losses()
        self.frame_count_estimate = self._estimate_frame_count()

    def _nothing_to_show(self) -> InputError:
        if self._clock_has_run:
            return InputError(f"Nothing of {self.path} lies within the cut", "Give an earlier --start.")
        damage = f" ({self._decoder.last_damage})" if self._decoder.damaged else ""
        return InputError(
            f"Cannot read {self.path}: no picture could be decoded{damage}", "It may be damaged, encrypted or empty."
        )

    def _timed_pictures(self) -> Iterator[TimedPicture]:
        """Pictures inside the cut with their pts on the file's own clock, complete and strictly increasing."""
        self._clock_has_run = False
        stated = OneAhead((picture, self._stated_pts(picture)) for picture in self._decoded())
        for picture, stated_pts in stated:
            following = stated.peek() if self._clock.doubts(stated_pts) else None
            pts = self._clock.next(stated_pts, picture.dts, picture.duration, following[1] if following else None)
            self._clock_has_run = True
            seconds = pts * self._time_base - self._origin
            if self._cut.is_after(seconds):
                return
            if not self._cut.is_before(seconds):
                self._gaps.saw(pts)
                self._end_seconds = (pts + picture.duration) * self._time_base
                yield TimedPicture(picture, pts, shown=picture)

    def _stated_pts(self, picture: VideoFrame) -> int | None:
        """AVI tells when a picture is decoded, never when it is shown, and what FFmpeg makes of that is out of order
        where there are B-frames. But the decoder gives a picture a tick, and so they are shown; the last ones, which
        come when it is drained, follow."""
        if self._decoder.container.format.name != "avi":
            return picture.pts
        if self._avi_delay is None:
            self._avi_delay = 0 if None in (picture.dts, picture.pts) else (picture.dts or 0) - (picture.pts or 0)
        shown = self._avi_next if picture.dts is None else picture.dts - self._avi_delay
        self._avi_next = None if shown is None else shown + picture.duration
        return shown

    def _decoded(self) -> Iterator[VideoFrame]:
        if self._cut.start is None or self._decoder.stream.start_time is None:
            return self._decoder.pictures()
        return self._decoder.pictures_from(int((self._origin + self._cut.start) / self._time_base))

    def _format_of(self, picture: VideoFrame) -> VideoFormat:
        delivery = plan_delivery(picture.format)
        format, assumed = picture_format(self._decoder.stream, picture, delivery, self._time_base)
        self.notes += delivery.notes + assumed
        return format

    def _describe_losses(self) -> None:
        if self._decoder.container.format.name.endswith("_pipe"):  # FFmpeg's names for bare images
            self.notes.append("this is a still picture; the result is a film of one picture")
        tags = {key.lower(): value for key, value in self._decoder.stream.metadata.items()}
        if tags.get("alpha_mode") == "1":  # in capitals where the film was copied
            self.notes.append("the transparency of the video (VP8/VP9 alpha) is lost")
        if crop := cropped_edges(self._decoder.stream):
            self.notes.append(f"the file asks players to cut off {in_words(crop)}: they stay in the result")
        others = [s for s in self._decoder.container.streams.video if s != self._decoder.stream and not is_cover(s)]
        if others:
            self.notes.append(f"the file holds {len(others) + 1} video tracks, only the first is upscaled")

    def _estimate_frame_count(self) -> int | None:
        """From the container's frame count, else from duration and rate, in proportion to the cut."""
        stream, whole = self._decoder.stream, self._decoder.container.duration
        if stream.duration:
            seconds = stream.duration * self._time_base
        else:  # of the whole film sound may be longer than the pictures, a subtitle without an end by hours
            ends = (stated_end(stream), Fraction(whole, av.time_base) if whole is not None else None)
            seconds = min((end for end in ends if end is not None), default=None)
        count = stream.frames or (round(seconds * self._rate) if seconds and self._rate else None)
        if count is None or seconds is None or (self._cut.start is None and self._cut.end is None):
            return count
        start, end = self._cut.start or Fraction(0), min(self._cut.end or seconds, seconds)
        return round(count * max(Fraction(0), end - start) / seconds)

    @property
    def frames_concealed(self) -> int:
        """Packets that gave no picture, and pictures that the decoder repaired."""
        return self._decoder.damaged + self._corrupt

    def read(self, into: Planes) -> Frame | End:
        with reading(self.path):
            item = next(self._pictures, None)
            if item is None:
                if self._is_open:
                    self._describe_end()
                return END
            picture = item.decoded
            self._note_change(picture)
            self._reader.copy(item.shown, into)
        self._corrupt += picture.is_corrupt
        side_data = side_data_of(picture)
        for lost in losses(side_data, self._decoder.stream.metadata):
            self._note(lost)
        frame = Frame(
            index=self._next_index,
            pts=item.pts - self._shift,
            duration=picture.duration,
            planes=into,
            concealed=picture.is_corrupt,
            side_data={name: data for name, data in side_data.items() if name in CARRIED_SIDE_DATA},
        )
        self._next_index += 1
        return frame

    def _note_change(self, picture: VideoFrame) -> None:
        for note in changes_within(picture, self.format):
            self._note(note)
        if self._decoder.stream.codec_context.sample_aspect_ratio != self._bitstream_aspect:
            self._note("the shape of the pixels changes within the film; that of its first picture is written")
        if picture.interlaced_frame and self._deinterlace == "off":
            self._note("the video is interlaced and stays so, as asked")
        elif picture.interlaced_frame:
            self._note("the video is interlaced; each frame is deinterlaced (bwdif) into one picture")

    def _describe_end(self) -> None:
        changed = self._witness.confirm()
        self._describe_damage()
        if changed:
            self._note(changed)

    def _describe_damage(self) -> None:
        if self._decoder.damaged:
            self._note(f"{self._decoder.damaged} damaged packets gave no picture ({self._decoder.last_damage})")
        if self._decoder.gave_up:
            self._note(f"the picture can be read no further ({self._decoder.last_damage}): it ends early")
        if self._corrupt:
            self._note(f"{self._corrupt} damaged pictures were repaired by the decoder")
        self._describe_fields()
        stream, is_whole = self._decoder.stream, self._cut == Cut(None, None)
        shown_seconds = self._end_seconds - self._origin
        # Fields that lie in the file one by one make one picture of two packets.
        are_fields = (
            self._deinterlacer.seen > 0 and self._decoder.packets >= stream.frames and not self._decoder.damaged
        )
        fewer = fewer_than_stated(stream, self._next_index, shown_seconds) if is_whole and not are_fields else None
        early = cut_off = None
        if self._cut.end is None:
            early = early_end(stream, self._end_seconds)
            cut_off = self._witness.missing_end(self._decoder.container.format.name, self._decoder.read_to)
        for note in filter(None, (fewer, early, cut_off, self._gaps.note)):
            self._note(note)
        if self._lead_in:
            self._note(f"{self._lead_in} packets before the first keyframe cannot be decoded: the beginning is cut off")
        if self._decoder.clock.jumps:
            times = "once" if self._decoder.clock.jumps == 1 else f"{self._decoder.clock.jumps} times"
            self._note(f"the file's clock jumps {times}; what follows is put behind what came before")
        if self._clock.repaired:
            self._note(f"{self._clock.repaired} timestamps were missing or not increasing and were filled in")

    def _describe_fields(self) -> None:
        """A file may say that it is interlaced while no picture does: both happen, so this is left to the eye."""
        says_so = self._decoder.stream.codec_context.field_order > _PROGRESSIVE
        if self._deinterlace == "auto" and says_so and not self._deinterlacer.seen:
            self._note("the file says interlaced, but no picture does: --deinterlace on if you see combs")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def close(self) -> None:
        self._is_open = False
        self._pictures = iter(())
        self._opened.close()
