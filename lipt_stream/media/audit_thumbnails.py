"""Small RGB images of decoded pictures, for audits: area averages, coloured by each picture's own tags."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat as PixelFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M, UNSPECIFIED

Thumbnail: TypeAlias = NDArray[np.float32]
"""(rows, columns, 3): R'G'B', black 0 and white 255, by the picture's own tags; beyond these where its codes are, so
that means stay means."""

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


def resolve_matrix(matrix: int, primaries: int, width: int, height: int) -> int:
    """The usual rule: what is stated; unstated BT.2020 where the primaries are, else BT.709 for what is larger than SD
    (768x576) in its height, or has 1280 columns."""
    if matrix not in _UNSTATED:
        return matrix
    if primaries == BT2020_NCL:  # the code point of the primaries is the same, 9
        return BT2020_NCL
    return BT709 if width >= 1280 or height > 576 else SMPTE170M


class Reducer:
    """Area averages of pictures, as RGB. swscale averages the planes as they are; colour is computed here."""

    def __init__(self, columns: int, rows: int) -> None:
        self._size = columns, rows
        self._scaler = VideoReformatter()  # one for all pictures: building one costs more than using it
        self._graph: Graph | None = None
        self._kind = (0, 0, "")

    def reduce(self, frame: VideoFrame) -> Thumbnail:
        """Raises what swscale raises for formats that it cannot read."""
        columns, rows = self._size
        if frame.format.name.startswith("mono"):  # swscale reduces single bits to something darker
            frame = frame.reformat(format="rgb24")
        yuv, gray = is_yuv(frame.format), is_gray(frame.format)
        deep = bit_depth(frame.format) > 8
        name = ("gray" if gray else "yuv444p") + ("10le" if deep else "")
        full = bool(full_range(frame))
        # The same on both sides, so no conversion takes place; swscale takes yuvj for full, whatever it is told.
        either = ColorRange.JPEG if full or frame.format.name.startswith("yuvj") else ColorRange.MPEG
        small = self._scaler.reformat(
            self._as_progressive(frame) if frame.interlaced_frame else frame,
            columns,
            rows,
            name if yuv else "rgb24",
            interpolation=Interpolation.AREA | Interpolation.ACCURATE_RND,
            src_color_range=either if yuv else None,
            dst_color_range=either if yuv else None,
            threads=1,
        )
        if not yuv:
            return np.from_dlpack(small.planes[0]).reshape(rows, columns, 3).astype(np.float32)
        planes = [np.from_dlpack(plane).astype(np.float32) * (0.25 if deep else 1) for plane in small.planes]
        if gray:
            planes += [np.full_like(planes[0], 128)] * 2
        matrix = resolve_matrix(frame.colorspace, frame.color_primaries, frame.width, frame.height)
        return _to_rgb(np.stack(planes, axis=-1), matrix, full)

    def _as_progressive(self, frame: VideoFrame) -> VideoFrame:
        """The same lines without the flag, for which swscale would reduce each field by itself."""
        kind = frame.width, frame.height, frame.format.name
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = Graph(), kind
            unit = frame.time_base or Fraction(1, 1_000_000)
            source = self._graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit)
            self._graph.link_nodes(source, self._graph.add("setfield", "prog"), self._graph.add("buffersink"))
            self._graph.configure()
        self._graph.vpush(frame)
        return self._graph.vpull()


def _to_rgb(yuv: Thumbnail, matrix: int, full: bool) -> Thumbnail:
    """Y'CbCr as 8-bit code values (fractions allowed) to R'G'B', white 255; scaling by H.273, 8.3."""
    offset = np.array([0 if full else 16, 128, 128], np.float32)
    scale = np.array([1, 1, 1] if full else [255 / 219, 255 / 224, 255 / 224], np.float32)
    to_rgb = rgb_from_ycbcr(matrix).T.astype(np.float32)
    return ((yuv - offset) * scale @ to_rgb).astype(np.float32, copy=False)


def rgb_from_ycbcr(matrix: int) -> NDArray[np.float64]:
    """(3, 3): R'G'B' from Y' (0..1), Cb and Cr (-0.5..0.5); BT.709's for a code point that is no such matrix."""
    red, blue = _LUMA_WEIGHTS.get(matrix, _LUMA_WEIGHTS[BT709])
    green = 1 - red - blue
    cr_to_red, cb_to_blue = 2 * (1 - red), 2 * (1 - blue)
    return np.array(
        [[1, 0, cr_to_red], [1, -cb_to_blue * blue / green, -cr_to_red * red / green], [1, cb_to_blue, 0]], np.float64
    )


def full_range(frame: VideoFrame) -> bool | None:
    if frame.color_range in (ColorRange.JPEG, ColorRange.MPEG):
        return frame.color_range == ColorRange.JPEG
    return True if frame.format.name.startswith("yuvj") else None


def is_yuv(pixel_format: PixelFormat) -> bool:
    return not (
        pixel_format.is_rgb or pixel_format.has_palette or pixel_format.name.startswith(("xyz", "bayer", "pal", "mono"))
    )


def is_gray(pixel_format: PixelFormat) -> bool:
    return is_yuv(pixel_format) and len(pixel_format.components) <= 2  # luma, or luma and alpha


def bit_depth(pixel_format: PixelFormat) -> int:
    return max(component.bits for component in pixel_format.components)


def shows_through(frame: VideoFrame) -> bool:
    """Whether a picture is transparent anywhere, by 8 bits."""
    if not any(component.is_alpha for component in frame.format.components):
        return False
    return bool((frame.reformat(format="rgba").to_ndarray()[..., 3] < 255).any())
