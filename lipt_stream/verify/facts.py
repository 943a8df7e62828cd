"""One thing compared (Check), and what two films' pictures state of themselves, compared fact by fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final

from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M, UNSPECIFIED
from lipt_stream.media.audit_pictures import PictureFacts
from lipt_stream.media.crop import in_words
from lipt_stream.media.side_data import LOST_SIDE_DATA

NONE: Final = "-"

_LEAST_ROUNDING_SECONDS: Final = 0.001
_SAME_COEFFICIENTS: Final = {5: SMPTE170M}  # H.273: 5 and 6 differ in name only
_PART_OF_THE_PICTURE: Final = frozenset({"FILM_GRAIN_PARAMS"})  # it was decoded, and upscaled with the rest
_UNSTATED: Final = frozenset({0, UNSPECIFIED, 3})
# What an unstated tag may become in the result, by the matrix that goes with it.
_USUAL_PRIMARIES: Final = {BT709: {1}, SMPTE170M: {5, 6}, BT2020_NCL: {9}}
_USUAL_TRANSFERS: Final = {BT709: {1}, SMPTE170M: {1, 6}, BT2020_NCL: {1, 14, 15}}
_MATRICES: Final = {0: "RGB", 1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
_PRIMARIES: Final = {1: "BT.709", 5: "BT.601 (625)", 6: "BT.601 (525)", 9: "BT.2020", 12: "Display P3"}
_TRANSFERS: Final = {1: "BT.709", 6: "BT.601", 8: "linear", 13: "sRGB", 14: "BT.2020", 16: "PQ", 18: "HLG"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared. `detail`: the reason of a failure, or what a reader should know, in one line."""

    name: str
    ok: bool
    source: str
    result: str
    detail: str = ""


def tolerance_seconds(source_tick: float, result_tick: float) -> float:
    """How far a time may be off that is counted from the first: two roundings of half a tick of the result.

    To this comes what the source rounded itself, which a tool may have put right: a tick, at most a millisecond. A
    coarse source (a tick a frame) must not excuse a shift by a frame.
    """
    return result_tick + min(source_tick, _LEAST_ROUNDING_SECONDS) + 1e-9


def compare_pictures(source: PictureFacts, result: PictureFacts, scale: int | None) -> Iterator[Check]:
    """Size, shape, colour tags, depth and HDR metadata of the first pictures."""
    yield _size(source, result, scale)
    yield _equal("sample aspect ratio", source.sample_aspect_ratio, result.sample_aspect_ratio)
    yield _equal("rotation", _rotation(source), _rotation(result))
    if source.crop or result.crop:
        yield _crop(source, result)
    yield _matrix(source, result)
    yield _tag("primaries", source.primaries, result.primaries, _usual(_USUAL_PRIMARIES, result), _PRIMARIES)
    yield _tag("transfer", source.transfer, result.transfer, _usual(_USUAL_TRANSFERS, result), _TRANSFERS)
    yield _range(source, result)
    if _is_420(source) and _is_420(result):
        yield _chroma_location(source, result)
    yield _depth(source, result)
    yield _chroma_resolution(source, result)
    if source.has_alpha:
        lost = "" if result.has_alpha else "the transparency is lost"
        yield Check("alpha", not lost, "yes", "yes" if result.has_alpha else NONE, lost)
    if source.mastering_display or result.mastering_display:
        yield _hdr("mastering display", source.mastering_display, result.mastering_display)
    if source.content_light or result.content_light:
        yield _hdr("content light", source.content_light, result.content_light)


def compare_side_data(source: Set[str], result: Set[str]) -> Iterator[Check]:
    """What came inside the pictures, such as captions, by PyAV's names of the kinds."""
    told = [name for name in LOST_SIDE_DATA if name in source and name not in _PART_OF_THE_PICTURE]
    if told:
        lost = [name for name in told if name not in result]
        reason = "; ".join(LOST_SIDE_DATA[name] for name in lost)
        yield Check("side data", not lost, str(len(told)), str(len(told) - len(lost)), reason)


def _equal(name: str, source: object, result: object) -> Check:
    ok = source == result
    return Check(name, ok, str(source), str(result), "" if ok else f"{source} became {result}")


def _size(source: PictureFacts, result: PictureFacts, asked: int | None) -> Check:
    before, after = f"{source.width}x{source.height}", f"{result.width}x{result.height}"
    scale = asked or max(1, round(result.width / source.width))
    due = f"{source.width * scale}x{source.height * scale}"
    if after == due:
        return Check("size", True, before, after, f"x{scale}, {'as asked' if asked else 'inferred'}")
    whole = f"x{scale} was asked, which is {due}" if asked else f"no whole multiple; the nearest, x{scale}, is {due}"
    return Check("size", False, before, after, f"{after} is {whole}")


def _crop(source: PictureFacts, result: PictureFacts) -> Check:
    """As many times the pixels at each edge as the result is larger."""
    scale = max(1, round(result.width / source.width))
    ok = result.crop == {edge: scale * width for edge, width in source.crop.items()}
    before, after = (in_words(facts.crop) if facts.crop else NONE for facts in (source, result))
    told = [words if words != NONE else "nothing" for words in (before, after)]
    reason = "" if ok else f"players cut off {told[0]} of the source, and {told[1]} of the result"
    return Check("crop", ok, before, after, reason)


def _rotation(facts: PictureFacts) -> str:
    return f"{facts.rotation % 360}°" + (" mirrored" if facts.mirrored else "")


def _matrix(source: PictureFacts, result: PictureFacts) -> Check:
    """Compared as a player resolves them: an unstated matrix by the size of its own file."""
    if source.chroma_width == 0:  # gray has none
        return Check("matrix", True, NONE, _MATRICES.get(result.matrix, str(result.matrix)))
    before, after = (_named(facts.matrix, _MATRICES) for facts in (source, result))
    if not result.is_yuv or not source.is_yuv:
        unstated = result.is_yuv and result.matrix in _UNSTATED
        reason = "the source is RGB, and the result does not say by which matrix it became YUV" if unstated else ""
        return Check("matrix", not unstated, "RGB" if not source.is_yuv else before, after, reason)
    wanted, found = (_SAME_COEFFICIENTS.get(f.resolved_matrix, f.resolved_matrix) for f in (source, result))
    if wanted == found:
        resolved = source.matrix in _UNSTATED
        return Check("matrix", True, before, after, f"{_named(wanted, _MATRICES)} by size" if resolved else "")
    reason = f"a player takes {_named(wanted, _MATRICES)} for the source and {_named(found, _MATRICES)} for the result"
    return Check("matrix", False, before, after, reason)


def _named(code: int, names: dict[int, str]) -> str:
    return "unstated" if code in _UNSTATED else names.get(code, f"code {code}")


def _usual(table: dict[int, set[int]], result: PictureFacts) -> set[int]:
    return table.get(_SAME_COEFFICIENTS.get(result.matrix, result.matrix), set())


def _tag(name: str, source: int, result: int, usual: set[int], names: dict[int, str]) -> Check:
    """An unstated tag may stay so or be resolved to what goes with the result's matrix."""
    before, after = _named(source, names), _named(result, names)
    if source in _UNSTATED:
        ok = result in _UNSTATED | usual
        return Check(name, ok, before, after, "" if ok else f"{after} is not what the matrix of the result implies")
    return Check(name, source == result, before, after, "" if source == result else f"{before} became {after}")


def _range(source: PictureFacts, result: PictureFacts) -> Check:
    """Unstated is studio, as players take it. The range of RGB says nothing about that of the YUV made from it."""
    before, after = (_range_name(facts) for facts in (source, result))
    if not source.is_yuv:
        return Check("range", True, before, after)
    ok = bool(source.full_range) == bool(result.full_range)
    return Check("range", ok, before, after, "" if ok else f"a player takes the result for {after} range")


def _range_name(facts: PictureFacts) -> str:
    return {None: "unstated", False: "studio", True: "full"}[facts.full_range]


def _is_420(facts: PictureFacts) -> bool:
    half = ((facts.width + 1) // 2, (facts.height + 1) // 2)
    return facts.is_yuv and facts.width > 1 and (facts.chroma_width, facts.chroma_height) == half


def _chroma_location(source: PictureFacts, result: PictureFacts) -> Check:
    before, after = source.chroma_location, result.chroma_location
    ok = before in (after, "unspecified") or (after == "unspecified" and before == "left")
    return Check("chroma location", ok, before, after, "" if ok else f"{before} became {after}")


def _depth(source: PictureFacts, result: PictureFacts) -> Check:
    ok = result.bit_depth >= source.bit_depth
    reason = "" if ok else f"{source.bit_depth} bits became {result.bit_depth}"
    return Check("bit depth", ok, str(source.bit_depth), str(result.bit_depth), reason)


def _chroma_resolution(source: PictureFacts, result: PictureFacts) -> Check:
    """4:2:0 twice as large holds as many chroma samples as 4:4:4, so sizes are compared, not names."""
    before, after = source.pixel_format, result.pixel_format
    ok = result.chroma_width >= source.chroma_width and result.chroma_height >= source.chroma_height
    reason = (
        f"{source.chroma_width}x{source.chroma_height} chroma samples became "
        f"{result.chroma_width}x{result.chroma_height}"
    )
    return Check("pixel format", ok, before, after, "" if ok else reason)


def _hdr(name: str, source: Sequence[float], result: Sequence[float]) -> Check:
    before, after = (", ".join(f"{value:g}" for value in values) or NONE for values in (source, result))
    if len(source) != len(result):
        reason = f"the {name} metadata is lost" if source else f"the source has no {name} metadata"
        return Check(name, False, before, after, reason)
    # SMPTE ST 2086 counts chromaticities in steps of 0.00002 and luminances of 0.0001 cd/m2.
    ok = all(abs(a - b) <= max(1e-4, 1e-4 * abs(a)) for a, b in zip(source, result, strict=True))
    return Check(name, ok, before, after, "" if ok else f"the {name} metadata changed")
