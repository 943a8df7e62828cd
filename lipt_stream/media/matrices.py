"""By which matrix the colours of a picture are coded that states none."""

from __future__ import annotations

from typing import Final

from av.video.frame import VideoFrame

from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M, UNSPECIFIED

UNSTATED: Final = frozenset({0, UNSPECIFIED, 3})
"""H.273: 0 and 3 are reserved; matrix code 0 says that the planes are G, B and R, which YUV never are."""
_BT2020_PRIMARIES: Final = 9


def assumed_matrix(picture: VideoFrame) -> int:
    """H.273's code point: BT.2020's if the primaries are, else by the size."""
    wide = int(picture.color_primaries) == _BT2020_PRIMARIES
    return BT2020_NCL if wide else matrix_by_size(picture.width, picture.height)


def matrix_by_size(width: int, height: int) -> int:
    """The rule of mpv and libplacebo: what is larger than SD is BT.709. Width counts: scope films have few lines."""
    return BT709 if width >= 1280 or height > 576 else SMPTE170M
