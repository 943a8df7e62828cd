"""What changes within a film, and what becomes of it: a result has one size, one pixel format, one set of tags."""

from __future__ import annotations

from collections.abc import Iterator

from av.video.frame import VideoFrame

from lipt_stream.frame import VideoFormat
from lipt_stream.media.color import name_of_matrix
from lipt_stream.media.matrices import UNSTATED
from lipt_stream.media.pixels import color_of, plan_delivery


def changes_within(picture: VideoFrame, format: VideoFormat) -> Iterator[str]:
    """Notes on how `picture` differs from the first of its film, which is of `format`."""
    delivery = plan_delivery(picture.format)
    if (picture.width, picture.height) != (format.width, format.height):
        yield f"the size changes within the film; all is scaled to {format.width}x{format.height}"
    if delivery.pix_fmt != format.pix_fmt:
        yield f"the pixel format changes within the film; all is converted to {format.pix_fmt}"
    if format.gray and not delivery.is_gray:
        yield "the film begins in gray, and so it stays; colours that come later are lost"
    if color_of(picture, format) != (format.color_space, format.color_range):
        kept = f"{name_of_matrix(format.color_space)}, {format.color_range} range"
        yield f"the colour matrix or range changes within the film; all is converted to {kept}"
    tags = (int(picture.color_primaries), format.primaries), (int(picture.color_trc), format.transfer)
    if any(now != first and not {now, first} & UNSTATED for now, first in tags):
        yield "the primaries or the transfer change within the film; those of its first picture are written"
