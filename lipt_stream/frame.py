"""The words every room uses: what a stream of pictures looks like (VideoFormat), one picture (Frame), and END."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.uint8 | np.uint16]
Planes: TypeAlias = tuple[Samples, Samples, Samples]
"""Y (H, W), U and V (ceil(H/2), ceil(W/2)); uint8, or uint16 whose low `bit_depth` bits are used."""

PixFmt: TypeAlias = Literal["yuv420p", "yuv420p10le", "yuv420p12le"]
BIT_DEPTHS: Final[dict[PixFmt, int]] = {"yuv420p": 8, "yuv420p10le": 10, "yuv420p12le": 12}

# Code points of ITU-T H.273 (the same numbers FFmpeg and every container use). 2 is "unspecified" in all three.
UNSPECIFIED: Final = 2
BT709: Final = 1
BT470BG: Final = 5  # BT.601 625 lines
SMPTE170M: Final = 6  # BT.601 525 lines
BT2020_NCL: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """What every frame of a stream has in common.

    `color_space` (matrix coefficients), `primaries` and `transfer` are H.273 code points. `color_space` is never
    unspecified here: a source resolves it (BT.709 from 1280 columns or 577 lines up, else BT.601), because an upscaled
    picture crosses that line and a player would guess differently for it than for its source.
    `frame_rate` is a hint for encoders and progress, None where the stream states none; time is told by pts alone.
    `rotation` is the display rotation in degrees, counter-clockwise, carried and never applied.
    `gray`: chroma is neutral in every frame, and is neutral in what is made of them.
    """

    width: int
    height: int
    pix_fmt: PixFmt = "yuv420p"
    color_space: int = BT709
    color_range: Literal["studio", "full"] = "studio"
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    chroma_location: Literal["left", "center", "topleft"] = "left"
    frame_rate: Fraction | None = None
    time_base: Fraction = Fraction(1, 90_000)
    sample_aspect_ratio: Fraction = Fraction(1, 1)
    rotation: int = 0
    gray: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a frame of {self.width}x{self.height} has no pixels")
        if self.color_space == UNSPECIFIED:
            raise ValueError("color_space must be resolved by the source")

    @property
    def bit_depth(self) -> int:
        return BIT_DEPTHS[self.pix_fmt]

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.bit_depth == 8 else np.uint16

    @property
    def plane_shapes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        """(H, W) of Y, U and V; chroma sizes round up."""
        chroma = ((self.height + 1) // 2, (self.width + 1) // 2)
        return (self.height, self.width), chroma, chroma

    @property
    def frame_bytes(self) -> int:
        return sum(h * w for h, w in self.plane_shapes) * np.dtype(self.dtype).itemsize

    def new_planes(self) -> Planes:
        """Zeroed planes of this format in ordinary memory."""
        y, u, v = (np.zeros(shape, self.dtype) for shape in self.plane_shapes)
        return y, u, v

    def scaled(self, scale: int) -> VideoFormat:
        """The format of this stream after upscaling: larger, all else kept."""
        return dataclasses.replace(self, width=self.width * scale, height=self.height * scale)

    def __str__(self) -> str:
        rate = f" {float(self.frame_rate):.5g} fps" if self.frame_rate else ""
        return f"{self.width}x{self.height} {self.pix_fmt}{rate}"


@dataclass(slots=True, kw_only=True)
class Frame:
    """One picture. `planes` are borrowed: they belong to a slot and are valid until the sink's `write` returns.

    `pts` and `duration` count in the stream's time_base; `duration` is 0 where unknown. `side_data` holds what
    came with the picture and must leave with it (HDR metadata, captions), opaque outside `media`.
    """

    index: int
    pts: int
    duration: int
    planes: Planes
    concealed: bool = False
    side_data: dict[str, Any] = field(default_factory=dict[str, Any])

    def __repr__(self) -> str:
        h, w = self.planes[0].shape
        return f"Frame({self.index}, pts={self.pts}, duration={self.duration}, {w}x{h} {self.planes[0].dtype})"


class End(Enum):
    """The type of END: the source is exhausted. Not the same as 'nothing yet'."""

    END = "end"


END: Final = End.END
