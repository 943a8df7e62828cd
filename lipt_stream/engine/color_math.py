"""The numbers of YUV 4:2:0 <-> RGB: matrix coefficients, code ranges and chroma siting, folded into a few constants.

Sources: ITU-T H.273 (07/2024) section 8.3 (matrix coefficients and the formulas of both ranges) and section 8.7
(chroma sample location types). Both implementations, `color.TorchColors` and `color.cu`, take theirs from here.

Chroma is interpolated linearly. Along an axis, sample i of a chroma plane lies on luma sample 2i (co-sited: both axes
of "topleft", the horizontal one of "left") or halfway between 2i and 2i+1 (centred). One number per axis says which:

    up:    even pixels take `side` of the previous chroma sample, odd ones 1/2 - `side` of the next, the rest of their
           own; `side` is 0 where co-sited, 1/4 where centred
    down:  pixels 2i-1, 2i, 2i+1 weigh `previous`, 1/2, 1/2 - `previous`; `previous` is 1/4 where co-sited, 0 where
           centred
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from lipt_stream.errors import InputError
from lipt_stream.frame import VideoFormat

DevicePlanes: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Y (H, W), U and V (ceil(H/2), ceil(W/2)) on one device: uint8, or for 10 and 12 bits uint16 or int16 (the codes fit
both, and the same memory is read as int16, for which torch has every operation)."""

# Kr and Kb by H.273 matrix coefficients; Kg is what is left.
LUMA_WEIGHTS: Final[dict[int, tuple[float, float]]] = {
    1: (0.2126, 0.0722),  # BT.709
    4: (0.30, 0.11),  # FCC 47 CFR 73.682
    5: (0.299, 0.114),  # BT.601, 625 lines
    6: (0.299, 0.114),  # BT.601, 525 lines
    7: (0.212, 0.087),  # SMPTE ST 240
    9: (0.2627, 0.0593),  # BT.2020 and BT.2100, non-constant luminance
}
_REFUSED: Final[dict[int, str]] = {
    0: "RGB",
    8: "YCgCo",
    10: "BT.2020 constant luminance",
    11: "SMPTE ST 2085",
    12: "chromaticity-derived, non-constant luminance",
    13: "chromaticity-derived, constant luminance",
    14: "ICtCp",
    15: "IPT-PQ-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToRgb:
    """Codes of a format to RGB 0..1.

    l = luma * luma_scale + luma_offset; u, v = code - chroma_zero
    R = l + v_to_r v;  G = l + u_to_g u + v_to_g v;  B = l + u_to_b u
    """

    luma_scale: float
    luma_offset: float
    chroma_zero: float
    v_to_r: float
    u_to_g: float
    v_to_g: float
    u_to_b: float
    side_x: float  # 0 where chroma is co-sited with even pixels along the axis, 1/4 where centred
    side_y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ToPlanes:
    """RGB 0..1 to codes: each plane is r R + g G + b B + offset. The offset holds the 1/2 of rounding, so that
    clamping to 0..max_code and cutting the fraction off is all that is left to do."""

    y: tuple[float, float, float, float]
    u: tuple[float, float, float, float]
    v: tuple[float, float, float, float]
    max_code: int
    previous_x: float  # weight of pixel 2i-1 in chroma sample i: 1/4 co-sited, 0 centred; 2i has 1/2, 2i+1 the rest
    previous_y: float


def to_rgb_constants(video: VideoFormat) -> ToRgb:
    """Raises InputError where the matrix is not one of LUMA_WEIGHTS."""
    kr, kb = _luma_weights(video)
    kg = 1.0 - kr - kb
    luma_gain, black, chroma_gain, zero = _code_range(video)
    cosited_x, cosited_y = cosited(video)
    return ToRgb(
        luma_scale=1.0 / luma_gain,
        luma_offset=-black / luma_gain,
        chroma_zero=zero,
        v_to_r=2.0 * (1.0 - kr) / chroma_gain,
        u_to_g=-2.0 * (1.0 - kb) * kb / kg / chroma_gain,
        v_to_g=-2.0 * (1.0 - kr) * kr / kg / chroma_gain,
        u_to_b=2.0 * (1.0 - kb) / chroma_gain,
        side_x=0.0 if cosited_x else 0.25,
        side_y=0.0 if cosited_y else 0.25,
    )


def to_planes_constants(video: VideoFormat) -> ToPlanes:
    """Raises InputError where the matrix is not one of LUMA_WEIGHTS."""
    kr, kb = _luma_weights(video)
    kg = 1.0 - kr - kb
    luma_gain, black, chroma_gain, zero = _code_range(video)
    if video.gray:
        chroma_gain = 0.0  # a network's output is never quite gray
    per_u, per_v = chroma_gain / (2.0 * (1.0 - kb)), chroma_gain / (2.0 * (1.0 - kr))
    cosited_x, cosited_y = cosited(video)
    return ToPlanes(
        y=(luma_gain * kr, luma_gain * kg, luma_gain * kb, black + 0.5),
        u=(-per_u * kr, -per_u * kg, per_u * (1.0 - kb), zero + 0.5),
        v=(per_v * (1.0 - kr), -per_v * kg, -per_v * kb, zero + 0.5),
        max_code=2**video.bit_depth - 1,
        previous_x=0.25 if cosited_x else 0.0,
        previous_y=0.25 if cosited_y else 0.0,
    )


def cosited(video: VideoFormat) -> tuple[bool, bool]:
    """Whether chroma samples lie on even pixels (horizontally, vertically) rather than between two."""
    return video.chroma_location != "center", video.chroma_location == "topleft"


def signed(plane: Tensor) -> Tensor:
    """uint16 storage as int16: codes have at most 12 bits, and torch has every operation for it."""
    return plane.view(torch.int16) if plane.dtype == torch.uint16 else plane


def check_shapes(video: VideoFormat, planes: DevicePlanes, rgb: Tensor) -> None:
    """ValueError where buffers are not those of `video`: kernels would read beyond them."""
    if (1, 3, video.height, video.width) != tuple(rgb.shape):
        raise ValueError(f"RGB of shape {tuple(rgb.shape)} for {video}")
    shapes = tuple(tuple(plane.shape) for plane in planes)
    if shapes != video.plane_shapes:
        raise ValueError(f"planes of shapes {shapes} for {video}, which has {video.plane_shapes}")


def _luma_weights(video: VideoFormat) -> tuple[float, float]:
    weights = LUMA_WEIGHTS.get(video.color_space)
    if weights is None:
        name = _REFUSED.get(video.color_space, "unknown")
        raise InputError(
            f"The video's colour matrix is {name} (H.273 code {video.color_space}), which cannot be converted to RGB",
            "Convert it to BT.709 or BT.2020 non-constant luminance first",
        )
    return weights


def _code_range(video: VideoFormat) -> tuple[float, float, float, float]:
    """(codes from black to white, code of black, codes of the chroma span, code of zero chroma)."""
    step = 2.0 ** (video.bit_depth - 8)
    if video.color_range == "studio":
        return 219.0 * step, 16.0 * step, 224.0 * step, 128.0 * step
    top = 2.0**video.bit_depth - 1.0
    return top, 0.0, top, 2.0 ** (video.bit_depth - 1)
