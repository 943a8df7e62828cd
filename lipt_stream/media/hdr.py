"""Static HDR metadata, from a picture's side data into an encoder's options.

PyAV can read side data but not attach it, and encoders take these two as options as well; what they write is the
same SEI message or metadata OBU. Layouts: FFmpeg's AVMasteringDisplayMetadata and AVContentLightMetadata.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

_CHROMA_UNIT: Final = Fraction(1, 50_000)  # SMPTE ST 2086: chromaticity in steps of 0.00002
_LUMA_UNIT: Final = Fraction(1, 10_000)  # luminance in steps of 0.0001 cd/m2
_DISPLAY_BYTES: Final = 88  # ten rationals, and whether there are primaries and luminance


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """SMPTE ST 2086: chromaticities (x, y) of R, G, B and white; luminances in cd/m2."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    max_luminance: Fraction

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """None where the structure says that it is not filled, or not wholly."""
        if len(data) < _DISPLAY_BYTES:
            return None
        *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", data)
        if not (has_primaries and has_luminance) or not all(numbers[1::2]):
            return None
        v = [Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        return cls((v[0], v[1]), (v[2], v[3]), (v[4], v[5]), (v[6], v[7]), v[8], v[9])


def hdr_losses(codec_library: str, side_data: Mapping[str, bytes]) -> list[str]:
    """What the encoder cannot write of the metadata in `side_data`, in words."""
    if codec_library not in _PARAMETERS:
        said = f"{codec_library} cannot write HDR metadata (mastering display, content light)"
        return [said] if side_data.keys() & _METADATA else []
    obstacle = _obstacle(side_data.get("MASTERING_DISPLAY_METADATA", b""))
    return [f"the metadata of the mastering display is lost: it {obstacle}"] if obstacle else []


def _obstacle(display: bytes) -> str | None:
    """Why metadata that states something of a mastering display cannot be written; None where it can, or is empty."""
    if len(display) < _DISPLAY_BYTES or MasteringDisplay.parse(display):
        return None
    has_primaries, has_luminance = struct.unpack_from("=2i", display, _DISPLAY_BYTES - 8)
    if has_primaries and has_luminance:
        return "is damaged"
    lacking = "luminance" if has_primaries else "primaries"
    return f"states no {lacking}, and encoders take no half" if has_primaries or has_luminance else None


def hdr_options(codec_library: str, side_data: Mapping[str, bytes], options: Mapping[str, str]) -> dict[str, str]:
    """`options` with the metadata in `side_data` added; unchanged for encoders that take none.

    side_data: MASTERING_DISPLAY_METADATA and CONTENT_LIGHT_LEVEL, as bytes of FFmpeg's structures.
    """
    try:
        key, display_key, light_key, in_units = _PARAMETERS[codec_library]
    except KeyError:
        return dict(options)
    added: list[str] = []
    display = MasteringDisplay.parse(side_data.get("MASTERING_DISPLAY_METADATA", b""))
    if display:
        added.append(f"{display_key}={_display_text(display, in_units)}")
    light = side_data.get("CONTENT_LIGHT_LEVEL", b"")
    if len(light) >= 8:
        max_content, max_average = struct.unpack_from("=2I", light)
        added.append(f"{light_key}={max_content},{max_average}")
    # The user's own parameters come last and win.
    merged = ":".join([*added, *filter(None, [options.get(key, "")])])
    return {**options, key: merged} if merged else dict(options)


_METADATA: Final = frozenset({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"})
_PARAMETERS: Final[dict[str, tuple[str, str, str, bool]]] = {
    "libx264": ("x264-params", "mastering-display", "cll", True),
    "libx265": ("x265-params", "master-display", "max-cll", True),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", False),
}


def _display_text(display: MasteringDisplay, in_units: bool) -> str:
    """G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min), in units of the standard (x264, x265) or as decimals (SVT-AV1)."""

    def number(value: Fraction, unit: Fraction) -> str:
        return str(round(value / unit)) if in_units else f"{float(value):.6f}"

    points = (("G", display.green), ("B", display.blue), ("R", display.red), ("WP", display.white))
    text = "".join(f"{name}({number(x, _CHROMA_UNIT)},{number(y, _CHROMA_UNIT)})" for name, (x, y) in points)
    luminance = f"{number(display.max_luminance, _LUMA_UNIT)},{number(display.min_luminance, _LUMA_UNIT)}"
    return f"{text}L({luminance})"
