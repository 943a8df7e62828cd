"""A film's pictures, decoded for an audit: how they are tagged, when they are shown, and small RGB images of them."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path

from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media.audit import main_picture
from lipt_stream.media.audit_joins import JoinedTimes, JointsOfPictures, Pauses, StatedTimes, counts_from_anywhere
from lipt_stream.media.audit_packets import DAMAGE, undamaged_packets
from lipt_stream.media.audit_thumbnails import (
    Reducer,
    Thumbnail,
    bit_depth,
    full_range,
    is_gray,
    is_yuv,
    resolve_matrix,
    shows_through,
)
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film, share_decoding
from lipt_stream.media.crop import cropped_edges
from lipt_stream.media.side_data import is_mirrored, side_data_of
from lipt_stream.media.siting import stated_siting


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the first picture and its stream say of themselves; colour as H.273 code points, nothing resolved.

    `mastering_display`: chromaticities (x, y) of R, G, B, white, then luminance min, max in cd/m2.
    `content_light`: MaxCLL, MaxFALL in cd/m2. `crop`: the pixels that players are to cut off, by edge. `full_range`
    None: not stated. `rotation` in degrees.
    """

    width: int
    height: int
    pixel_format: str
    bit_depth: int
    chroma_width: int
    chroma_height: int
    is_yuv: bool
    has_alpha: bool  # or could have: FFmpeg decodes every GIF with it
    matrix: int
    primaries: int
    transfer: int
    full_range: bool | None
    chroma_location: str
    sample_aspect_ratio: Fraction
    rotation: int
    mirrored: bool
    mastering_display: tuple[float, ...]
    content_light: tuple[int, ...]
    crop: Mapping[str, int]
    tick_seconds: float

    @property
    def resolved_matrix(self) -> int:
        """The matrix a player uses: the stated one, else BT.2020's by primaries, else by size."""
        return resolve_matrix(self.matrix, self.primaries, self.width, self.height)


@dataclass(frozen=True, slots=True)
class AuditPicture:
    """`seconds` None: the file gives no time for it. `duration_seconds` 0: unknown."""

    index: int
    seconds: float | None
    duration_seconds: float
    thumbnail: Thumbnail


class PictureReader:
    """Decodes the main picture of `path` with FFmpeg's defaults, past damage, to the last picture.

    Raises InputError where the file cannot be opened or no picture decodes. `damaged` counts packets that gave an
    error and pictures that the decoder had to repair; `sizes` every size met; `offsets` what was added to the times, in
    seconds, behind each jump of the file's clock; `beside` the kinds of side data that came with a picture;
    `is_transparent` whether one was, in any place. All are complete after `pictures`.
    """

    def __init__(self, path: Path, *, may_jump: bool = True) -> None:
        """`may_jump`: the file's clock may, as where recordings were joined. What is a result has no such excuse."""
        self.path = path
        self.is_transparent = False
        self._may_jump = may_jump
        self.damaged = 0
        self.sizes: set[tuple[int, int]] = set()
        self.beside: set[str] = set()
        self.offsets = [0.0]
        self._pauses = Pauses()
        self._avi_first: tuple[int, int] | None = None  # when the first was decoded and when it is shown
        self._avi_shown = 0
        self._container = open_film(path)
        try:
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        with reading(self.path):
            self._stream = main_picture(self._container, self.path)
            if self._stream.codec_context is None:  # pyright: ignore[reportUnnecessaryComparison]
                raise InputError(
                    f"Cannot audit {self.path}: there is no decoder for its video",
                    "Convert it first, to H.264 for instance.",
                )
            share_decoding(self._stream, None)
            decoded = self._decoded()
            first = next(decoded, None)
            if first is None:
                raise InputError(
                    f"Cannot audit {self.path}: no picture could be decoded", "It may be damaged, encrypted or empty."
                )
            self._frames = chain([first], decoded)
            self.facts = _facts(first, self._stream)

    def _decoded(self) -> Iterator[VideoFrame]:
        context = self._stream.codec_context
        for packet in chain(self._packets(), [None]):
            try:
                yield from context.decode(packet)  # pyright: ignore[reportArgumentType]
            except EOFError:
                return  # drained already
            except DAMAGE:
                self.damaged += 1

    def _packets(self) -> Iterator[Packet[Stream]]:
        """The picture's. Where it takes some to tell whether the film was joined, the sound's are looked at too."""
        sounds = self._container.streams.audio if counts_from_anywhere(self._container.format.name) else ()
        for packet in undamaged_packets(self._container, [self._stream, *sounds]):
            is_picture = packet.stream_index == self._stream.index
            if packet.pts is not None:
                decoded = packet.pts if packet.dts is None else packet.dts
                times = float(decoded * packet.time_base), float(packet.pts * packet.time_base)
                self._pauses.see(*times) if is_picture else self._pauses.hear(packet.stream_index, times[1])
            if is_picture:
                yield packet

    def pictures(self, columns: int, rows: int) -> Iterator[AuditPicture]:
        """Every picture in the decoder's order, reduced to `columns` x `rows`. Once only.

        One whose time is wrong, by the picture behind it, has none.
        """
        joints = JointsOfPictures(self._pauses.found)
        clock = JoinedTimes(self._container.format.name, joints) if self._may_jump else StatedTimes()
        self.offsets = clock.offsets
        for picture, behind in pairwise(chain(self._as_stated(columns, rows), [None])):
            assert picture is not None
            seconds, following = picture.seconds, behind.seconds if behind else None
            if seconds is not None and following is not None and clock.is_wrong(seconds, following):
                seconds = None
            elif seconds is not None:
                seconds = clock.follow(seconds, picture.duration_seconds)
            yield replace(picture, seconds=seconds)

    def _as_stated(self, columns: int, rows: int) -> Iterator[AuditPicture]:
        """On the file's own clock."""
        reducer = Reducer(columns, rows)
        self.is_transparent = _has_alpha_beside(self._stream)
        unit = float(self._stream.time_base or Fraction(1, 1000))
        for index, frame in enumerate(self._frames):
            self.damaged += frame.is_corrupt
            self.sizes.add((frame.width, frame.height))
            self.beside |= side_data_of(frame).keys()
            with reading(self.path):
                thumbnail = reducer.reduce(frame)
                self.is_transparent = self.is_transparent or shows_through(frame)
            shown = self._shown(frame)
            seconds = None if shown is None else shown * unit
            yield AuditPicture(index, seconds, (frame.duration or 0) * unit, thumbnail)

    def _shown(self, frame: VideoFrame) -> int | None:
        """In AVI, which only says when a picture is decoded, as far from the first as that."""
        if self._container.format.name != "avi" or frame.pts is None:
            return frame.pts
        if frame.dts is None:  # one that the decoder still held at the end
            self._avi_shown += frame.duration or 1
        else:
            self._avi_first = self._avi_first or (frame.dts, frame.pts)
            self._avi_shown = frame.dts - self._avi_first[0] + self._avi_first[1]
        return self._avi_shown

    @property
    def track_seconds(self) -> float | None:
        """How long MP4 and MOV say that all pictures are shown; None for other formats.

        There a picture's own duration is a step of decoding time, and that of the last one need not be right.
        """
        stream = self._stream
        if "mp4" not in self._container.format.name.split(",") or not stream.duration or not stream.time_base:
            return None
        return float(stream.duration * stream.time_base)

    def close(self) -> None:
        self._container.close()


def _facts(frame: VideoFrame, stream: VideoStream) -> PictureFacts:
    pixel_format = frame.format
    side_data = side_data_of(frame)
    ratio = stream.sample_aspect_ratio
    return PictureFacts(
        width=frame.width,
        height=frame.height,
        pixel_format=pixel_format.name,
        bit_depth=bit_depth(pixel_format),
        chroma_width=0 if is_gray(pixel_format) else pixel_format.chroma_width(frame.width),
        chroma_height=0 if is_gray(pixel_format) else pixel_format.chroma_height(frame.height),
        is_yuv=is_yuv(pixel_format),
        has_alpha=any(component.is_alpha for component in pixel_format.components) or _has_alpha_beside(stream),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=full_range(frame),
        chroma_location=stated_siting(stream) or "unspecified",
        sample_aspect_ratio=ratio if ratio and ratio > 0 else Fraction(1),
        rotation=frame.rotation,
        mirrored=is_mirrored(side_data),
        mastering_display=_mastering_display(side_data.get("MASTERING_DISPLAY_METADATA", b"")),
        content_light=_content_light(side_data.get("CONTENT_LIGHT_LEVEL", b"")),
        crop=cropped_edges(stream),
        tick_seconds=float(stream.time_base or Fraction(1, 1000)),
    )


def _has_alpha_beside(stream: VideoStream) -> bool:
    """VP8 and VP9 in Matroska: as a second picture, which FFmpeg's own decoders leave alone."""
    return {key.lower(): value for key, value in stream.metadata.items()}.get("alpha_mode") == "1"


def _mastering_display(data: bytes) -> tuple[float, ...]:
    """FFmpeg's AVMasteringDisplayMetadata: ten rationals and two flags (SMPTE ST 2086)."""
    if len(data) < 88:
        return ()
    numbers = struct.unpack_from("=20i", data)
    return tuple(n / d if d else 0.0 for n, d in zip(numbers[::2], numbers[1::2], strict=True))


def _content_light(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("=2I", data) if len(data) >= 8 else ()
