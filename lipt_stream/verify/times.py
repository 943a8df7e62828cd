"""When pictures are shown: two films' timestamps compared, and one film's against what was meant to be written."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import isnan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipt_stream.media.audit import PictureTimes, picture_times
from lipt_stream.verify.facts import NONE, Check, tolerance_seconds
from lipt_stream.verify.pictures import ranges


def compare_times(source: Sequence[float], result: Sequence[float], tolerance_seconds: float) -> Check:
    """Every timestamp, counted from the first picture's.

    Timestamps of the source that are missing (nan) or go back cannot be kept and are not compared; the result has to
    give others for them that increase.
    """
    name = "timestamps"
    stated = _increasing(source)
    told, given = (f"{len(times)}, {_span(times)}" for times in (np.asarray(source)[stated], result))
    if not stated.any():
        return Check(name, _is_increasing(result), NONE, given, "the source states none")
    if not _is_increasing(result):
        return Check(name, False, told, given, "the result's do not increase throughout")
    if len(source) != len(result):
        missing, extra = unmatched_times(np.asarray(source)[stated], result, tolerance_seconds)
        parts = (("none in the result at", missing), ("none in the source at", extra))
        reason = "; ".join(f"{words} {_listed(times)}" for words, times in parts if times)
        return Check(name, not reason, told, given, reason or "counts differ, but no time does")
    first = int(np.flatnonzero(stated)[0])
    one, other = np.asarray(source) - source[first], np.asarray(result) - result[first]
    off = np.where(stated, np.abs(other - one), 0.0)
    wrong = np.flatnonzero(off > tolerance_seconds)
    unstated = len(source) - int(stated.sum())
    note = f"{unstated} of the source's are missing or go back and were not compared" if unstated else ""
    if not len(wrong):
        return Check(name, True, told, given, note or f"within {1000 * off.max():.2f} ms")
    limit_ms, worst_ms = 1000 * tolerance_seconds, 1000 * off.max()
    reason = f"{len(wrong)} of {len(source)} are off, by up to {worst_ms:.1f} ms ({limit_ms:.1f} are allowed)"
    return Check(name, False, told, given, f"{reason}: pictures {ranges(wrong.tolist())}")


def _increasing(times: Sequence[float]) -> NDArray[np.bool_]:
    """Which times are stated and later than every one before."""
    values = np.asarray(times, np.float64)
    filled = np.where(np.isnan(values), -np.inf, values)
    latest_before = np.concatenate([[-np.inf], np.maximum.accumulate(filled)[:-1]]) if len(filled) else filled
    return filled > latest_before


def _is_increasing(times: Sequence[float]) -> bool:
    return bool(_increasing(times).all())


def _span(times: Sequence[float] | NDArray[np.float64]) -> str:
    return f"{times[-1] - times[0]:.3f} s" if len(times) else NONE


def unmatched_times(
    source: Sequence[float] | NDArray[np.float64], result: Sequence[float], tolerance_seconds: float
) -> tuple[list[float], list[float]]:
    """(of the source without a partner, of the result without one), seconds from the first; both ascend."""
    missing: list[float] = []
    extra: list[float] = []
    i = j = 0
    while i < len(source) and j < len(result):
        one, other = source[i] - source[0], result[j] - result[0]
        if abs(one - other) <= tolerance_seconds:
            i, j = i + 1, j + 1
        elif one < other:
            missing.append(float(one))
            i += 1
        else:
            extra.append(float(other))
            j += 1
    missing += [float(time - source[0]) for time in source[i:]]
    extra += [float(time - result[0]) for time in result[j:]]
    return missing, extra


def _listed(times: Sequence[float], most: int = 4) -> str:
    shown = ", ".join(f"{time:.3f}" for time in times[:most]) + " s"
    return f"{shown} and {len(times) - most} more, up to {times[-1]:.3f} s" if len(times) > most else shown


def compare_durations(
    source: Sequence[float],
    result: Sequence[float],
    last_durations: tuple[float, float],
    tolerance_seconds: float,
    cut_short_seconds: float = 0.0,
) -> Check:
    """From the first picture's beginning to the last one's end; to its beginning where a file does not tell the end.

    The last picture's own duration is what containers round most (Matroska's default duration, MP4's sample table):
    a quarter of it is allowed, so that a lost or doubled picture shows. By `cut_short_seconds` the source's track ends
    within its last picture, as where a telephone trimmed it: the result may show all of that one.
    """
    told = all(duration > 0 for duration in last_durations)
    tails = last_durations if told else (0.0, 0.0)
    one, other = (times[-1] - times[0] + tail for times, tail in zip((source, result), tails, strict=True))
    name, before, after = "duration", f"{one:.3f} s", f"{other:.3f} s"
    if isnan(one):
        return Check(name, True, NONE, after, "the source states none")
    off_ms, limit_ms = 1000 * (other - one), 1000 * (tolerance_seconds + tails[0] / 4)
    ok = -limit_ms <= off_ms <= limit_ms + 1000 * cut_short_seconds
    return Check(name, ok, before, after, "" if ok else f"{off_ms:+.1f} ms, {limit_ms:.1f} are allowed")


def quick_check(result: Path, *, pts: Sequence[int], end_pts: int, time_base: Fraction) -> tuple[Check, ...]:
    """What can be told of a written file in moments, by reading its packets and decoding none.

    `pts`: the timestamps that were written, ascending; `end_pts`: where the last one ends (its own timestamp where that
    is not known); both in units of `time_base`. A film that began before zero may have been moved to begin there.
    Raises InputError where the file cannot be read.
    """
    tick = float(time_base)
    meant = array("d", (time * tick for time in pts))
    return tuple(_quick(picture_times(result), meant, end_pts * tick, tick))


def _quick(found: PictureTimes, meant: array[float], end: float, tick: float) -> Iterator[Check]:
    written, held = len(meant), len(found.starts)
    reason = "" if held == written else f"{written} were written, the file holds {held}"
    yield Check("frames", not reason, str(written), str(held), reason)
    if not written or not held:
        return
    tolerance = tolerance_seconds(tick, found.tick_seconds)
    off_ms = 1000 * (found.starts[0] - max(meant[0], 0.0))
    times = compare_times(meant, found.starts, tolerance)
    if times.ok and abs(off_ms) > 1000 * tolerance:
        times = replace(times, ok=False, detail=f"all are off by {off_ms:+.1f} ms")
    yield times
    length, told = end - meant[0], found.end_seconds - found.starts[0]
    off_ms = 1000 * (told - length)
    ok = end <= meant[-1] or abs(off_ms) <= 1000 * (tolerance + (end - meant[-1]) / 4)
    yield Check("duration", ok, f"{length:.3f} s", f"{told:.3f} s", "" if ok else f"off by {off_ms:+.1f} ms")
