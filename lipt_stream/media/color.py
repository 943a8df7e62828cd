"""What a picture's colour tags mean where they say nothing, or nonsense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from av.video.frame import VideoFrame

from lipt_stream.frame import BT470BG, BT709, BT2020_NCL, SMPTE170M
from lipt_stream.media.matrices import UNSTATED, assumed_matrix, matrix_by_size
from lipt_stream.media.pixels import is_full_range, plan_delivery

Siting: TypeAlias = Literal["left", "center", "topleft"]
_SITINGS: Final[dict[str, Siting]] = {  # the rare ones go to the nearest that encoders and engine know
    "left": "left",
    "bottomleft": "left",
    "center": "center",
    "top": "center",
    "bottom": "center",
    "topleft": "topleft",
}
_CENTER_SITED: Final = frozenset({"mpeg1video", "mjpeg", "mjpegb", "ljpeg", "theora", "h261", "h263", "flv1", "vp8"})


@dataclass(frozen=True, slots=True)
class ColorTags:
    """H.273 code points, resolved: `matrix` is never unspecified. `notes` say what was assumed."""

    matrix: int
    primaries: int
    transfer: int
    range: Literal["studio", "full"]
    chroma_location: Siting
    notes: list[str]


def color_tags(picture: VideoFrame, codec: str, stated_siting: str | None) -> ColorTags:
    """Reads `picture`'s tags; `stated_siting` is FFmpeg's name of its chroma location, None where none is stated.

    An unspecified matrix follows the primaries if they are BT.2020's, else the size.
    Where the chroma samples sit follows the bitstream; where that says nothing, the codec: between the luma samples
    for MPEG-1, JPEG and their kin, at the top left for BT.2020 (H.273, as UHD Blu-ray demands), else at the left.
    """
    delivery = plan_delivery(picture.format)
    notes: list[str] = []
    matrix = int(picture.colorspace)
    if delivery.is_rgb:
        matrix = matrix_by_size(picture.width, picture.height)
    elif matrix in UNSTATED:
        matrix = assumed_matrix(picture)
        if not delivery.is_gray:
            notes.append(f"the colour matrix is not stated, {name_of_matrix(matrix)} is assumed")
    full = not delivery.is_rgb and is_full_range(picture)
    return ColorTags(
        matrix=matrix,
        primaries=int(picture.color_primaries),
        transfer=int(picture.color_trc),
        range="full" if full else "studio",
        chroma_location=_siting(picture, codec, matrix, stated_siting),
        notes=notes,
    )


def name_of_matrix(code: int) -> str:
    """For users: "BT.709", or the code point where it has no common name."""
    return _NAMES.get(code, f"matrix {code}")


def _siting(picture: VideoFrame, codec: str, matrix: int, stated_siting: str | None) -> Siting:
    """Of the planes as they are delivered."""
    if picture.format.chroma_width(64) == 64:
        return "center"  # reduced by the scaler, which averages the two columns
    stated = _SITINGS.get(stated_siting or "")
    if stated is None and codec in _CENTER_SITED:
        return "center"
    siting = stated or ("topleft" if matrix == BT2020_NCL else "left")
    has_every_line = picture.format.chroma_height(64) == 64
    return "left" if has_every_line and siting == "topleft" else siting  # the scaler averages two lines


_NAMES: Final[dict[int, str]] = {
    BT709: "BT.709",
    4: "FCC",
    BT470BG: "BT.601",
    SMPTE170M: "BT.601",
    7: "SMPTE 240M",
    BT2020_NCL: "BT.2020",
}
