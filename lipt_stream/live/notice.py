"""A line of plain text over a picture: what viewers see while the camera is gone."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lipt_stream.frame import Planes, VideoFormat


def with_notice(planes: Planes, text: str, format: VideoFormat) -> Planes:
    """A copy of `planes` (8 bits) with `text` in white on a dark band along the bottom."""
    y, u, v = (plane.copy() for plane in planes)
    mask = _band(text, format.width, format.height)
    black, white = (16, 235) if format.color_range == "studio" else (0, 255)
    rows = y[-mask.shape[0] :].astype(np.float32)
    dimmed = black + (rows - black) * 0.25
    y[-mask.shape[0] :] = (dimmed + (white - dimmed) * mask).astype(np.uint8)
    chroma_rows = mask.shape[0] // 2
    for plane in (u, v):
        plane[-chroma_rows:] = 128
    return y, u, v


@lru_cache(maxsize=4)
def _band(text: str, width: int, height: int) -> NDArray[np.float32]:
    """(rows, width), 0..1: how white each pixel of the band is. The text is made as large as fits."""
    rows = min(height, max(height // 12, 12)) // 2 * 2 or 1
    image = Image.new("L", (width, rows))
    pen = ImageDraw.Draw(image)
    size = rows * 0.6
    while size > 6 and pen.textlength(text, font=ImageFont.load_default(size)) > width * 0.94:
        size *= 0.9
    pen.text((width / 2, rows / 2), text, fill=255, anchor="mm", font=ImageFont.load_default(size))
    return np.asarray(image).astype(np.float32) / np.float32(255)
