"""Planes as RGB of 8 bits: of any depth, beyond no bound, and each picture in memory of its own."""

from __future__ import annotations

import numpy as np
import pytest

from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.frame import PixFmt, Planes, VideoFormat


def flat(video: VideoFormat, luma: int, chroma: tuple[int, int] = (128, 128)) -> Planes:
    planes = video.new_planes()
    for plane, value in zip(planes, (luma, *chroma), strict=True):
        plane.fill(value << (video.bit_depth - 8))
    return planes


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("luma", "level"), [(16, 0), (126, 128), (235, 255), (250, 255), (4, 0)])
def test_gray_of_studio_range(pix_fmt: PixFmt, luma: int, level: int) -> None:
    video = VideoFormat(width=6, height=5, pix_fmt=pix_fmt)
    picture = RgbPictures(video)(flat(video, luma))
    assert (picture.shape, picture.dtype) == ((5, 6, 3), np.uint8)
    assert np.all(picture == level)


def test_colours_come_in_the_order_red_green_blue() -> None:
    video = VideoFormat(width=6, height=4)
    as_rgb = RgbPictures(video)
    red = as_rgb(flat(video, 63, (102, 240)))  # BT.709's
    blue = as_rgb(flat(video, 32, (240, 118)))
    assert np.abs(red.astype(int) - (255, 0, 0)).max() <= 2, "and it is not what came after"
    assert np.abs(blue.astype(int) - (0, 0, 255)).max() <= 2
