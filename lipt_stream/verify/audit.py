"""verify(): an audit of a result against its source. It reads both afresh, by a loop of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any, Final

from lipt_stream.errors import InputError
from lipt_stream.media.audit import read_film
from lipt_stream.media.audit_pictures import PictureReader
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film
from lipt_stream.media.late_in_transport import late_in_transport
from lipt_stream.verify.facts import NONE, Check, compare_pictures, compare_side_data, tolerance_seconds
from lipt_stream.verify.pictures import Alignment, PictureMatcher, align, ranges
from lipt_stream.verify.streams import compare_films
from lipt_stream.verify.times import compare_durations, compare_times, quick_check

__all__ = ["Check", "Verification", "quick_check", "verify"]

_COLUMNS: Final = 64
_ROWS: Final = 36


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, in order. Facts that neither file has are left out."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.ok)

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.ok, "checks": [dataclasses.asdict(check) for check in self.checks]}


def verify(source: Path, result: Path, *, scale: int | None = None) -> Verification:
    """Whether `result` is the film `source`, `scale` times as large (None: whatever whole multiple its size is).

    Both are decoded once, in step; memory does not grow with the pictures but for two times each.
    Raises InputError where the source cannot be read; that the result cannot be read is a failed check.
    """
    with closing(PictureReader(source)) as before:
        try:
            after = PictureReader(result, may_jump=False)
        except InputError as error:
            return Verification((Check("readable", False, "yes", "no", str(error)),))
        with closing(after):
            return Verification(tuple(_checks(before, after, scale)))


def _checks(source: PictureReader, result: PictureReader, scale: int | None) -> Iterator[Check]:
    tolerance = tolerance_seconds(source.facts.tick_seconds, result.facts.tick_seconds)
    matcher = _watch(source, result, tolerance)
    alignment = align(matcher.matches, len(matcher.source_times))
    yield _frames(matcher, alignment)
    yield compare_times(matcher.source_times, matcher.result_times, tolerance)
    last_durations = (
        _last_duration(source, matcher.source_times, matcher.source_end_duration),
        _last_duration(result, matcher.result_times, matcher.result_end_duration),
    )
    cut_short = matcher.source_end_duration - last_durations[0]
    yield compare_durations(matcher.source_times, matcher.result_times, last_durations, tolerance, cut_short)
    yield Check("pictures", alignment.ok, str(len(matcher.source_times)), str(len(matcher.matches)), str(alignment))
    yield from _colors(matcher, source.facts.width * source.facts.height)
    yield from _damage(source, result)
    yield from _late_streams(source.path)
    seen = dataclasses.replace(source.facts, has_alpha=source.is_transparent)
    yield from compare_pictures(seen, result.facts, scale)
    yield from compare_side_data(source.beside, result.beside)
    origins = _origin(matcher.source_times[0]), _origin(matcher.result_times[0])
    yield from compare_films(
        read_film(source.path, source.offsets), read_film(result.path, joins=None), origins, tolerance
    )


def _watch(source: PictureReader, result: PictureReader, tolerance: float) -> PictureMatcher:
    """Decodes both films in step, reduced to the same few pixels; never to more than the source has."""
    columns, rows = _grid(source.facts.width, _COLUMNS), _grid(source.facts.height, _ROWS)
    matcher = PictureMatcher(source.pictures(columns, rows), tolerance)
    for picture in result.pictures(columns, rows):
        matcher.add(picture)
    matcher.finish()
    return matcher


def _last_duration(reader: PictureReader, times: Sequence[float], told: float) -> float:
    """Of the picture shown last. Where the whole track's length leaves it less than `told`, that is right."""
    left = (reader.track_seconds or 0.0) - (times[-1] - times[0])
    return min(told, left) if left > 0 else told


def _grid(pixels: int, most: int) -> int:
    """How many cells a side is reduced to: no more than it has pixels, in fours where it has enough of them."""
    cells = min(pixels, most)
    return cells - cells % 4 if cells >= 16 else cells


def _origin(first_seconds: float) -> float:
    return 0.0 if isnan(first_seconds) else first_seconds


def _frames(matcher: PictureMatcher, alignment: Alignment) -> Check:
    before, after = len(matcher.source_times), len(matcher.matches)
    reason = ""
    if after < before:
        reason = f"{before - after} missing"
        if len(alignment.missing) == before - after:
            first, last = (_origin(matcher.source_times[alignment.missing[end]]) for end in (0, -1))
            begin = _origin(matcher.source_times[0])
            reason += f": {ranges(alignment.missing)} ({first - begin:.3f} to {last - begin:.3f} s)"
    elif after > before:
        reason = f"{after - before} too many"
    return Check("frames", not reason, str(before), str(after), reason)


def _colors(matcher: PictureMatcher, pixels: int) -> Iterator[Check]:
    if not matcher.colors.is_empty:
        difference = matcher.colors.difference(pixels)
        found = () if difference.mistake else matcher.stretches.found.items()
        partly = [f"pictures {ranges(indices)} look as if {mistake}" for mistake, indices in found]
        reason = "; ".join([*difference.faults, *partly])
        yield Check("colour", not reason, NONE, str(difference), reason)
    kinds = (
        (matcher.unlike, "show nothing that is near them in the source"),
        (matcher.stale, "show what the source showed long before"),
    )
    reason = "; ".join(f"pictures {ranges(pictures)} {words}" for pictures, words in kinds if pictures)
    yield Check("likeness", not reason, NONE, f"{matcher.worst_rms:.1f} rms at worst", reason)


def _late_streams(source: Path) -> Iterator[Check]:
    """What no reader here gets at can be in no result."""
    with reading(source), open_film(source) as film:
        known = {stream.id for stream in film.streams}
        late = late_in_transport(source, known) if film.format.name == "mpegts" else []
    if late:
        yield Check("late streams", False, str(len(late)), NONE, "; ".join(f"{stream}, is missing" for stream in late))


def _damage(source: PictureReader, result: PictureReader) -> Iterator[Check]:
    if source.damaged or result.damaged:
        reason = f"{result.damaged} of the result's packets do not decode" if result.damaged else ""
        yield Check("damage", not reason, str(source.damaged), str(result.damaged), reason)
    if len(result.sizes) > 1:
        sizes = ", ".join(f"{width}x{height}" for width, height in sorted(result.sizes))
        yield Check("one size", False, str(len(source.sizes)), str(len(result.sizes)), f"the size changes: {sizes}")
