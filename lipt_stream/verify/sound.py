"""Sound that is not the same to the byte, compared as it is heard: what, and when."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isnan
from typing import Final

from lipt_stream.media.audit_sound import HeardSound
from lipt_stream.verify.facts import Check

MAX_SOUND_OFFSET_MS: Final = 20.0
"""How far sound may move against the picture: less than an AAC packet (21.3 ms at 48 kHz), so that a lost or doubled
packet shows, less than half of what viewers begin to notice (45 ms early, ITU-R BT.1359), and far above rounding."""

BLOCK_MS: Final = 100.0
"""How far a packet's time may be from that of the sound which a decoder gives for it: a block of WMA is 93 ms."""


def compare_heard(
    name: str, source: HeardSound, result: HeardSound, origins: tuple[float, float], limit_ms: float
) -> Check:
    """Samples, but for silence, which may have been written where the source has a hole; and all along, and at the end,
    when they are heard. `origins`: time of the first picture in each file, in seconds."""
    before, after = (f"{sound.samples} samples" for sound in (source, result))
    if source.sounding != result.sounding:
        return Check(name, False, before, after, "the samples differ")
    off_ms, seconds = _worst_offset(source.seconds, result.seconds, origins)
    if abs(off_ms) > limit_ms:
        direction = "late" if off_ms > 0 else "early"
        at = f"same samples, but those at {seconds:.3f} s are heard"
        return Check(name, False, before, after, f"{at} {abs(off_ms):.1f} ms {direction}, {limit_ms:.0f} are allowed")
    more = result.samples - source.samples
    return Check(name, True, before, after, f"the same, but for {abs(more)} of silence" if more else "")


def _worst_offset(
    source: Sequence[float], result: Sequence[float], origins: tuple[float, float]
) -> tuple[float, float]:
    """(ms, where in the source, in seconds from its first picture) of the time that differs most. What has no time, or
    goes back in the source, is not compared."""
    worst, latest = (0.0, 0.0), -inf
    for one, other in zip(source, result, strict=True):
        off_ms = 1000 * ((other - origins[1]) - (one - origins[0]))
        if isnan(off_ms) or one <= latest:
            continue
        latest = one
        if abs(off_ms) > abs(worst[0]):
            worst = off_ms, one - origins[0]
    return worst
