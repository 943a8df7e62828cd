"""Decoded pictures of any size and kind, into planes of one format: scaled to fit, black where the shape differs."""

from __future__ import annotations

import dataclasses
from typing import Final

from av.video.frame import VideoFrame

from lipt_stream.errors import InputError
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.av_errors import AV_ERRORS, reason
from lipt_stream.media.color import color_tags
from lipt_stream.media.pixels import PlaneReader, is_full_range, plan_delivery

_KEPT_SCALERS: Final = 4  # of a source that changes to and fro


class Fit:
    """Copies pictures into planes of `format`, whose colour matrix and range they take on.

    A picture keeps its shape: it is scaled until it touches two sides, and stands in the middle. Its pixels are taken
    to be as square as the format's are. What is lost on the way stands in `notes`, once.
    """

    def __init__(self, format: VideoFormat) -> None:
        self._format = format
        self._readers: dict[tuple[object, ...], _Placed] = {}
        self.notes: list[str] = []

    def copy(self, picture: VideoFrame, into: Planes) -> None:
        """Raises InputError for a pixel format that cannot be converted; the next picture may be of another."""
        kind = (picture.width, picture.height, picture.format.name, picture.colorspace, is_full_range(picture))
        placed = self._readers.get(kind)
        if placed is None:
            if len(self._readers) == _KEPT_SCALERS:
                self._readers.pop(next(iter(self._readers)))
            placed = self._readers[kind] = self._place(picture)
        try:
            placed.copy(picture, into)
        except AV_ERRORS as error:
            raise InputError(f"Pictures of kind {picture.format.name} cannot be converted: {reason(error)}") from error

    def _place(self, picture: VideoFrame) -> _Placed:
        format = self._format
        left, top, width, height = _box(picture.width, picture.height, format.width, format.height)
        delivery, matrix = plan_delivery(picture.format), color_tags(picture, "", None).matrix
        self._note(*delivery.notes)
        if delivery.pix_fmt != format.pix_fmt:
            self._note(f"{picture.format.name} is converted to {format.pix_fmt}")
        if (picture.width, picture.height) != (format.width, format.height):
            bars = ", with black bars" if (width, height) != (format.width, format.height) else ""
            self._note(
                f"pictures of {picture.width}x{picture.height} are scaled to {format.width}x{format.height}{bars}"
            )
        inner = dataclasses.replace(format, width=width, height=height)
        return _Placed(
            PlaneReader(inner, source_color=(matrix, "full" if is_full_range(picture) else "studio")), inner, left, top
        )

    def _note(self, *texts: str) -> None:
        self.notes += [text for text in texts if text not in self.notes]


class _Placed:
    """Pictures of one kind, and where they go. `left` and `top` are even, so that they are whole in the chroma too."""

    def __init__(self, reader: PlaneReader, inner: VideoFormat, left: int, top: int) -> None:
        self._reader, self._inner, self._left, self._top = reader, inner, left, top

    def copy(self, picture: VideoFrame, into: Planes) -> None:
        step, views = 1, list(into)
        shift = self._inner.bit_depth - 8
        black = 0 if self._inner.color_range == "full" else 16 << shift
        for n, (plane, shape) in enumerate(zip(into, self._inner.plane_shapes, strict=True)):
            if shape != plane.shape:
                plane.fill(128 << shift if n else black)
            top, left = self._top // step, self._left // step
            views[n] = plane[top : top + shape[0], left : left + shape[1]]
            step = 2
        self._reader.copy(picture, (views[0], views[1], views[2]))


def _box(width: int, height: int, outer_width: int, outer_height: int) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture scaled to fit. Odd sizes only where the outer ones are."""
    if width * outer_height >= height * outer_width:
        inner_width, inner_height = outer_width, round(outer_width * height / width)
    else:
        inner_width, inner_height = round(outer_height * width / height), outer_height
    inner_width, inner_height = (
        outer if inner >= outer - 1 else max(2, inner // 2 * 2)
        for inner, outer in ((inner_width, outer_width), (inner_height, outer_height))
    )
    left, top = (outer_width - inner_width) // 4 * 2, (outer_height - inner_height) // 4 * 2
    return left, top, min(inner_width, outer_width), min(inner_height, outer_height)
