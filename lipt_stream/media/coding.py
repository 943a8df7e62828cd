"""What a picture is coded by, named without PyAV: round_trip.py does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Coding:
    """An encoder and how it is asked for quality.

    `options` are FFmpeg's, as pairs, so that a Coding can be compared and hashed. `bits_per_pixel`, where given, is
    the rate to keep to, whatever the size.
    """

    encoder: str
    options: tuple[tuple[str, str], ...] = ()
    bits_per_pixel: float | None = None
