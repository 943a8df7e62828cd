"""A film's pictures, decoded for an audit: how they are tagged, when they are shown, and small RGB images of them."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias, cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.format import VideoFormat as PixelFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from lipt_stream.errors import InputError
from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M, UNSPECIFIED
from lipt_stream.media.audit import DAMAGE, main_picture, undamaged_packets
from lipt_stream.media.audit_joins import JoinedTimes
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film
from lipt_stream.media.siting import stated_siting

Thumbnail: TypeAlias = NDArray[np.float32]
"""(rows, columns, 3): R'G'B' in 0..255, by the picture's own tags."""

_UNSTATED: Final = frozenset({0, UNSPECIFIED, 3})  # H.273: identity (no YUV), unspecified, reserved
_LUMA_WEIGHTS: Final[dict[int, tuple[float, float]]] = {  # H.273 table 4: matrix -> (Kr, Kb)
    BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    7: (0.212, 0.087),
    BT2020_NCL: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the first picture and its stream say of themselves; colour as H.273 code points, nothing resolved.

    `mastering_display`: chromaticities (x, y) of R, G, B, white, then luminance min, max in cd/m2.
    `content_light`: MaxCLL, MaxFALL in cd/m2. `full_range` None: not stated. `rotation` in degrees.
    """

    width: int
    height: int
    pixel_format: str
    bit_depth: int
    chroma_width: int
    chroma_height: int
    is_yuv: bool
    has_alpha: bool
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
    tick_seconds: float

    @property
    def resolved_matrix(self) -> int:
        """The matrix a player uses: the stated one, else BT.2020's by primaries, else by height."""
        return resolve_matrix(self.matrix, self.primaries, self.height)


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
    seconds, behind each jump of the file's clock. All are complete after `pictures`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.sizes: set[tuple[int, int]] = set()
        self.offsets = [0.0]
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
                raise InputError(f"Cannot audit {self.path}: there is no decoder for its video")
            # Threads by frames lose good pictures behind a damaged one at the very end.
            self._stream.thread_type = "SLICE"  # pyright: ignore[reportAttributeAccessIssue] the setter takes the name
            decoded = self._decoded()
            first = next(decoded, None)
            if first is None:
                raise InputError(f"Cannot audit {self.path}: no picture could be decoded")
            self._frames = chain([first], decoded)
            self.facts = _facts(first, self._stream)

    def _decoded(self) -> Iterator[VideoFrame]:
        context = self._stream.codec_context
        for packet in chain(undamaged_packets(self._container, [self._stream]), [None]):
            try:
                yield from context.decode(packet)  # pyright: ignore[reportArgumentType]
            except EOFError:
                return  # drained already
            except DAMAGE:
                self.damaged += 1

    def pictures(self, columns: int, rows: int) -> Iterator[AuditPicture]:
        """Every picture in the decoder's order, reduced to `columns` x `rows`. Once only."""
        reducer = Reducer(columns, rows)
        clock = JoinedTimes(self._container.format.name)
        self.offsets = clock.offsets
        unit = float(self._stream.time_base or Fraction(1, 1000))
        for index, frame in enumerate(self._frames):
            self.damaged += frame.is_corrupt
            self.sizes.add((frame.width, frame.height))
            with reading(self.path):
                thumbnail = reducer.reduce(frame)
            duration = (frame.duration or 0) * unit
            shown = self._shown(frame)
            seconds = None if shown is None else clock.follow(shown * unit, duration)
            yield AuditPicture(index, seconds, duration, thumbnail)

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

    def close(self) -> None:
        self._container.close()


def resolve_matrix(matrix: int, primaries: int, height: int) -> int:
    """The usual rule: what is stated; unstated BT.2020 where the primaries are, else BT.709 from 720 lines up."""
    if matrix not in _UNSTATED:
        return matrix
    if primaries == BT2020_NCL:  # the code point of the primaries is the same, 9
        return BT2020_NCL
    return BT709 if height >= 720 else SMPTE170M


class Reducer:
    """Area averages of pictures, as RGB. swscale averages the planes as they are; colour is computed here."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = columns, rows
        self._scaler = VideoReformatter()  # one for all pictures: building one costs more than using it

    def reduce(self, frame: VideoFrame) -> Thumbnail:
        """Raises what swscale raises for formats that it cannot read."""
        columns, rows = self._size
        is_yuv, is_gray = _is_yuv(frame.format), _is_gray(frame.format)
        deep = _bit_depth(frame.format) > 8
        name = ("gray" if is_gray else "yuv444p") + ("10le" if deep else "")
        full = bool(_full_range(frame))
        either = ColorRange.JPEG if full else ColorRange.MPEG  # the same on both sides: no conversion takes place
        small = self._scaler.reformat(
            frame,
            columns,
            rows,
            name if is_yuv else "rgb24",
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
            src_color_range=either if is_yuv else None,
            dst_color_range=either if is_yuv else None,
            threads=1,
        )
        if not is_yuv:
            return np.from_dlpack(small.planes[0]).reshape(rows, columns, 3).astype(np.float32)
        planes = [np.from_dlpack(plane).astype(np.float32) * (0.25 if deep else 1) for plane in small.planes]
        if is_gray:
            planes += [np.full_like(planes[0], 128)] * 2
        matrix = resolve_matrix(frame.colorspace, frame.color_primaries, frame.height)
        return _to_rgb(np.stack(planes, axis=-1), matrix, full)


def _to_rgb(yuv: Thumbnail, matrix: int, full: bool) -> Thumbnail:
    """Y'CbCr as 8-bit code values (fractions allowed) to R'G'B' in 0..255; scaling by H.273, 8.3."""
    offset = np.array([0 if full else 16, 128, 128], np.float32)
    scale = np.array([1, 1, 1] if full else [255 / 219, 255 / 224, 255 / 224], np.float32)
    to_rgb = rgb_from_ycbcr(matrix).T.astype(np.float32)
    return np.clip((yuv - offset) * scale @ to_rgb, 0, 255).astype(np.float32, copy=False)


def rgb_from_ycbcr(matrix: int) -> NDArray[np.float64]:
    """(3, 3): R'G'B' from Y' (0..1), Cb and Cr (-0.5..0.5); BT.709's for a code point that is no such matrix."""
    red, blue = _LUMA_WEIGHTS.get(matrix, _LUMA_WEIGHTS[BT709])
    green = 1 - red - blue
    cr_to_red, cb_to_blue = 2 * (1 - red), 2 * (1 - blue)
    return np.array(
        [[1, 0, cr_to_red], [1, -cb_to_blue * blue / green, -cr_to_red * red / green], [1, cb_to_blue, 0]], np.float64
    )


def _facts(frame: VideoFrame, stream: VideoStream) -> PictureFacts:
    pixel_format = frame.format
    side_data = _side_data(frame)
    ratio = stream.sample_aspect_ratio
    return PictureFacts(
        width=frame.width,
        height=frame.height,
        pixel_format=pixel_format.name,
        bit_depth=_bit_depth(pixel_format),
        chroma_width=0 if _is_gray(pixel_format) else pixel_format.chroma_width(frame.width),
        chroma_height=0 if _is_gray(pixel_format) else pixel_format.chroma_height(frame.height),
        is_yuv=_is_yuv(pixel_format),
        has_alpha=any(component.is_alpha for component in pixel_format.components),
        matrix=int(frame.colorspace),
        primaries=int(frame.color_primaries),
        transfer=int(frame.color_trc),
        full_range=_full_range(frame),
        chroma_location=stated_siting(stream) or "unspecified",
        sample_aspect_ratio=ratio if ratio and ratio > 0 else Fraction(1),
        rotation=frame.rotation,
        mirrored=_is_mirrored(side_data.get("DISPLAYMATRIX", b"")),
        mastering_display=_mastering_display(side_data.get("MASTERING_DISPLAY_METADATA", b"")),
        content_light=_content_light(side_data.get("CONTENT_LIGHT_LEVEL", b"")),
        tick_seconds=float(stream.time_base or Fraction(1, 1000)),
    )


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    try:
        entries = cast(Iterable[SideData], frame.side_data)  # the stub says a dict, but it iterates over values
    except ValueError:
        return {}  # of a kind newer than PyAV's own list, which then tells of none
    return {entry.type.name: bytes(entry) for entry in entries}


def _mastering_display(data: bytes) -> tuple[float, ...]:
    """FFmpeg's AVMasteringDisplayMetadata: ten rationals and two flags (SMPTE ST 2086)."""
    if len(data) < 88:
        return ()
    numbers = struct.unpack_from("=20i", data)
    return tuple(n / d if d else 0.0 for n, d in zip(numbers[::2], numbers[1::2], strict=True))


def _content_light(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("=2I", data) if len(data) >= 8 else ()


def _is_mirrored(matrix: bytes) -> bool:
    """Whether the display matrix flips: its upper left 2 x 2 has a negative determinant."""
    if len(matrix) < 36:
        return False
    a, b, _, c, d = struct.unpack_from("=5i", matrix)
    return a * d - b * c < 0


def _full_range(frame: VideoFrame) -> bool | None:
    if frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj"):
        return True
    return False if frame.color_range == ColorRange.MPEG else None


def _is_yuv(pixel_format: PixelFormat) -> bool:
    return not (
        pixel_format.is_rgb or pixel_format.has_palette or pixel_format.name.startswith(("xyz", "bayer", "pal"))
    )


def _is_gray(pixel_format: PixelFormat) -> bool:
    return _is_yuv(pixel_format) and len(pixel_format.components) <= 2  # luma, or luma and alpha


def _bit_depth(pixel_format: PixelFormat) -> int:
    return max(component.bits for component in pixel_format.components)
