"""From a decoder's picture, in any of FFmpeg's pixel formats, to planes of YUV 4:2:0, and from planes to a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from av.video.format import VideoFormat as PixelFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from lipt_stream.frame import BT470BG, BT709, BT2020_NCL, SMPTE170M, PixFmt, Planes, Samples, VideoFormat
from lipt_stream.media.matrices import UNSTATED, assumed_matrix, matrix_by_size

_DIRECT: Final = frozenset({"yuv420p", "yuvj420p", "yuv420p10le", "yuv420p12le"})
_GRAYS: Final[dict[PixFmt, str]] = {"yuv420p": "gray", "yuv420p10le": "gray10le", "yuv420p12le": "gray12le"}
_QUARTER_WIDTH: Final = frozenset({"yuv411p", "yuvj411p"})
_SWSCALE_MATRICES: Final[dict[int, Colorspace]] = {
    BT709: Colorspace.ITU709,
    4: Colorspace.FCC,
    BT470BG: Colorspace.ITU601,
    SMPTE170M: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    BT2020_NCL: Colorspace.BT2020,
}
_SCALER: Final = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
_FEW_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Delivery:
    """How pictures of one pixel format are delivered: as what, and what is lost, in words for the user."""

    pix_fmt: PixFmt
    is_rgb: bool
    is_gray: bool
    notes: list[str] = field(default_factory=list[str])


def plan_delivery(pixel_format: PixelFormat) -> Delivery:
    """The nearest YUV 4:2:0 format of the same bit depth: 8 for up to 8 bits, 10 for 9 and 10, 12 for more."""
    name, components = pixel_format.name, pixel_format.components
    bits = max(component.bits for component in components)
    pix_fmt: PixFmt = "yuv420p" if bits <= 8 else "yuv420p10le" if bits <= 10 else "yuv420p12le"
    is_rgb = pixel_format.is_rgb or pixel_format.has_palette or name.startswith("xyz")
    is_gray = not is_rgb and not any(component.is_chroma for component in components) and len(components) <= 2
    notes: list[str] = []
    if bits > 12:
        notes.append(f"{name} is reduced to 12 bits per sample")
    if any(component.is_alpha for component in components):
        notes.append(f"the transparency of {name} is lost")
    if is_rgb:
        notes.append(f"{name} is converted to YUV with chroma at half resolution (4:2:0)")
    elif not is_gray and (pixel_format.chroma_width(64), pixel_format.chroma_height(64)) != (32, 32):
        notes.append(f"the chroma of {name} is resampled to half resolution (4:2:0)")
    elif is_gray:
        notes.append("gray pictures are delivered with neutral chroma")
    return Delivery(pix_fmt, is_rgb, is_gray, notes)


def is_full_range(picture: VideoFrame) -> bool:
    """By its tag; by the name of its format (yuvj420p and its kin, and single bits, which are black and white) where
    there is no tag. After a change within a film the name may be that of what came before."""
    return picture.color_range == ColorRange.JPEG or (
        picture.color_range != ColorRange.MPEG and picture.format.name.startswith(("yuvj", "mono"))
    )


def color_of(picture: VideoFrame, format: VideoFormat) -> tuple[int, Literal["studio", "full"]]:
    """Matrix (H.273) and range of `picture`, a later one of a stream of `format`: its own where they are stated and can
    be converted, else those of the stream. Where the stream's matrix goes by its size, so does that of a picture of
    another size: players take it so."""
    if plan_delivery(picture.format).is_rgb:
        return format.color_space, format.color_range
    matrix, range = int(picture.colorspace), format.color_range
    if matrix in UNSTATED and format.color_space == matrix_by_size(format.width, format.height):
        matrix = assumed_matrix(picture)
    if _SWSCALE_MATRICES.get(matrix, _swscale_matrix(format.color_space)) == _swscale_matrix(format.color_space):
        matrix = format.color_space  # unstated, or the same by another name
    if is_full_range(picture):
        range = "full"
    elif picture.color_range == ColorRange.MPEG:
        range = "studio"
    return matrix, range


class PlaneReader:
    """Copies decoded pictures into planes of one VideoFormat, converting where the picture is of another kind.

    Matrix and range of YUV change only where the picture's differ from `format`'s. What a picture says of neither it
    has in common with those before it; `source_color`, (H.273 matrix, range), says it of all. RGB becomes YUV by
    `format`'s.
    """

    def __init__(
        self, format: VideoFormat, *, source_color: tuple[int, Literal["studio", "full"]] | None = None
    ) -> None:
        self._format = format
        self._source_color = source_color
        self._scaler = VideoReformatter()

    def copy(self, picture: VideoFrame, into: Planes) -> None:
        """Raises what swscale raises (av.FFmpegError, ValueError) for formats that it cannot convert."""
        format = self._format
        same_size = (picture.width, picture.height) == (format.width, format.height)
        same_color = self._color_of(picture) == (format.color_space, format.color_range)
        delivery = plan_delivery(picture.format)
        is_direct = picture.format.name in _DIRECT and delivery.pix_fmt == format.pix_fmt
        if not (same_size and same_color and is_direct):
            picture = self._converted(picture, delivery)
        for plane, target in zip(picture.planes, into, strict=False):
            np.copyto(target, np.from_dlpack(plane))
        if len(picture.planes) == 1:
            for target in into[1:]:
                target.fill(1 << (format.bit_depth - 1))

    def _color_of(self, picture: VideoFrame) -> tuple[int, Literal["studio", "full"]]:
        return self._source_color or color_of(picture, self._format)

    def _converted(self, picture: VideoFrame, delivery: Delivery) -> VideoFrame:
        format = self._format
        if delivery.is_gray:
            # Within the gray formats: swscale takes gray for full range on its way to YUV and would squeeze it.
            return self._scaler.reformat(
                picture, format.width, format.height, _GRAYS[format.pix_fmt], interpolation=_SCALER
            )
        target_range = ColorRange.JPEG if format.color_range == "full" else ColorRange.MPEG
        matrix, range = self._color_of(picture)
        if range == "studio" and picture.format.name.startswith("yuvj"):
            picture = _under_plain_name(picture)
        if picture.format.name in _QUARTER_WIDTH and format.chroma_location != "center":
            picture = _at_half_width(picture)
        source_range = ColorRange.JPEG if range == "full" else ColorRange.MPEG
        if delivery.is_rgb:
            source_range = ColorRange.MPEG if picture.color_range == ColorRange.MPEG else ColorRange.JPEG
        # Of 7 and 8 lines swscale leaves some unwritten where matrix, range and depth change at once (FFmpeg 8.1).
        depth_apart = picture.height <= _FEW_LINES and picture.format.components[0].bits == 8 < format.bit_depth
        converted = self._scaler.reformat(
            picture,
            format.width,
            format.height,
            "yuv420p" if depth_apart else format.pix_fmt,
            src_colorspace=None if delivery.is_rgb else _swscale_matrix(matrix),
            dst_colorspace=_swscale_matrix(format.color_space),
            interpolation=_SCALER,
            src_color_range=source_range,
            dst_color_range=target_range,
            threads=1,  # several now and then leave lines unwritten, RGB to 10 bits (FFmpeg 8.1)
        )
        if not depth_apart:
            return converted
        return VideoReformatter().reformat(
            converted, format=format.pix_fmt, src_color_range=target_range, dst_color_range=target_range
        )


def _under_plain_name(picture: VideoFrame) -> VideoFrame:
    """yuvj420p as yuv420p, and so on: swscale takes the former for full range, whatever it is told."""
    plain = VideoFrame(picture.width, picture.height, picture.format.name.replace("yuvj", "yuv"))
    for plane, target in zip(picture.planes, plain.planes, strict=True):
        np.copyto(_samples(target, np.uint8), np.from_dlpack(plane))
    return plain


def _at_half_width(picture: VideoFrame) -> VideoFrame:
    """4:1:1 as 4:2:2, each sample on the first pixel of those that it stands for, as DV has it: swscale would take it
    for in their middle, and show colours a pixel too far to the right."""
    wide = VideoFrame(picture.width, picture.height, picture.format.name.replace("411", "422"))
    (luma, wide_luma), *chroma = (
        (_samples(p, np.uint8), _samples(w, np.uint8)) for p, w in zip(picture.planes, wide.planes, strict=True)
    )
    np.copyto(wide_luma, luma)
    for narrow, target in chroma:
        between = (narrow[:, :-1].astype(np.uint16) + narrow[:, 1:] + 1) // 2
        target[:, ::2] = narrow
        target[:, 1::2] = np.concatenate([between, narrow[:, -1:]], axis=1)[:, : target.shape[1] // 2]
    return wide


def _swscale_matrix(color_space: int) -> Colorspace:
    return _SWSCALE_MATRICES.get(color_space, Colorspace.ITU601)


class PictureWriter:
    """Holds one picture of `format`, filled from planes, converted to an encoder's pixel format where that differs."""

    def __init__(self, format: VideoFormat, encoder_pix_fmt: str) -> None:
        self._format = format
        self._encoder_pix_fmt = encoder_pix_fmt
        self._is_whole = "444" in encoder_pix_fmt
        pix_fmt = format.pix_fmt.replace("420", "444") if self._is_whole else format.pix_fmt
        self._picture = VideoFrame(format.width, format.height, pix_fmt)
        self._scaler = VideoReformatter()

    def fill(self, planes: Planes) -> VideoFrame:
        """The picture, valid until the next call. Encoders that still hold the last one keep their own copy."""
        self._picture.make_writable()
        for number, (plane, samples) in enumerate(zip(self._picture.planes, planes, strict=True)):
            whole = _for_every_pixel(samples, self._format) if self._is_whole and number else samples
            np.copyto(_samples(plane, self._format.dtype), whole)
        if self._encoder_pix_fmt == self._picture.format.name:
            return self._picture
        matrix = _swscale_matrix(self._format.color_space)
        full: Literal[1, 2] = 2 if self._format.color_range == "full" else 1
        return self._scaler.reformat(
            self._picture,
            format=self._encoder_pix_fmt,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            interpolation=_SCALER,
            src_color_range=full,
            dst_color_range=full,
        )


def _for_every_pixel(chroma: Samples, format: VideoFormat) -> Samples:
    """From 4:2:0 to 4:4:4, linearly. swscale would take all chroma for centred, and move other by half a pixel."""
    rows = _between(chroma, format.height, is_cosited=format.chroma_location == "topleft")
    return _between(rows.T, format.width, is_cosited=format.chroma_location != "center").T


def _between(samples: Samples, length: int, *, is_cosited: bool) -> Samples:
    """Twice as many rows, or one less; edges replicate."""
    quarters = 2 * np.arange(length) - (0 if is_cosited else 1)  # where each row lies, in quarters of a sample's step
    first, last = quarters // 4, len(samples) - 1
    before, after = (samples[np.clip(first + step, 0, last)].astype(np.uint16) for step in (0, 1))
    share = (quarters % 4).astype(np.uint16)[:, None]
    return ((before * (4 - share) + after * share + 2) // 4).astype(samples.dtype)


def _samples(plane: VideoPlane, dtype: type[np.uint8] | type[np.uint16]) -> Samples:
    """The plane's samples (H, W) as a view that can be written to; `np.from_dlpack` would be read-only."""
    raw = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
    lines = raw.reshape(plane.height, plane.line_size)
    return lines.view(dtype)[:, : plane.width]
