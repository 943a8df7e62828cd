"""What lies beside the streams of two films, compared: covers, attachments, chapters, tags, words on the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from lipt_stream.media.audit import FilmFacts, PictureTrackFacts
from lipt_stream.media.languages import in_mov
from lipt_stream.verify.facts import NONE, Check

_CHAPTER_ROUNDING_SECONDS: Final = 0.002  # containers count chapters in milliseconds, and both may round
# Tags that describe the file, its container or who wrote it, not the film.
_OF_THE_FILE: Final = frozenset(
    {
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "vendor_id",
        "handler_name",
        "software",
        "duration",
        "timecode",  # the picture track's
    }
    | {"bps", "number_of_frames", "number_of_bytes", "_statistics_tags", "_statistics_writing_app"}
    | {"_statistics_writing_date_utc"}
    | {"canseektoend", "datasize", "hasaudio", "hasvideo", "haskeyframes", "hasmetadata", "videosize", "audiosize"}
    | {"lasttimestamp", "lastkeyframetimestamp", "lastkeyframelocation", "metadatacreator"}  # FLV's
)


def compare_beside(
    source: FilmFacts, result: FilmFacts, origins: tuple[float, float], tolerance: float
) -> Iterator[Check]:
    """`origins`: time of the first picture in each file, from which chapters count; seconds, as `tolerance`."""
    if source.covers or result.covers:
        yield _covers(source.covers, result.covers)
    if source.further_videos or result.further_videos:
        yield _further_videos(source.further_videos, result.further_videos)
    if source.attachments or result.attachments:
        yield _attachments(source.attachments, result.attachments)
    if source.chapters or result.chapters:
        yield _chapters(source, result, origins, tolerance)
    if {_described(source.picture), _described(result.picture)} != {NONE}:
        yield _picture_track(source, result)
    yield _metadata(source.metadata, result.metadata)
    if source.others:
        yield Check("other streams", True, ", ".join(source.others), ", ".join(result.others) or NONE, "not compared")


def listed(names: frozenset[str]) -> str:
    return "+".join(sorted(names)) or NONE


def _covers(source: Sequence[str], result: Sequence[str]) -> Check:
    before, after = len(source), len(result)
    missing = (Counter(source) - Counter(result)).total()
    lost, extra = max(0, before - after), max(0, after - before)
    counts = ((lost, "lost"), (missing - lost, "changed"), (extra, "not in the source"))
    reason = "; ".join(f"{count} of {max(before, after)} {word}" for count, word in counts if count)
    return Check("cover pictures", not reason, str(before), str(after), reason)


def _further_videos(source: int, result: int) -> Check:
    """Counted alone. What was not upscaled is not there, which was said when the result was made, and is said again."""
    lost, extra = f"{source - result} lost: only the first is upscaled", f"{result - source} that the source lacks"
    reason = lost if result < source else extra if result > source else ""
    return Check("video tracks", not reason, str(1 + source), str(1 + result), reason)


def _picture_track(source: FilmFacts, result: FilmFacts) -> Check:
    """What is said of it. Whether it is the default one says nothing: there is no other."""
    before, after = source.picture, result.picture
    reasons: list[str] = []
    if in_mov(before.language) != in_mov(after.language):
        reasons.append(f"the language {before.language or NONE} became {after.language or NONE}")
    if before.title != after.title:
        reasons.append(f'the title "{before.title}" became "{after.title}"')
    if before.timecode and before.timecode != after.timecode:
        reasons.append(f"the timecode {before.timecode} became {after.timecode or NONE}")
    one, other = before.dispositions - {"default"}, after.dispositions - {"default"}
    if one != other:
        reasons.append(f"the dispositions {listed(one)} became {listed(other)}")
    return Check("picture track", not reasons, _described(before), _described(after), "; ".join(reasons))


def _described(facts: PictureTrackFacts) -> str:
    title = f'"{facts.title}"' if facts.title else ""
    words = (facts.language, title, facts.timecode, *sorted(facts.dispositions - {"default"}))
    return " ".join(filter(None, words)) or NONE


def _attachments(source: Sequence[tuple[str, str]], result: Sequence[tuple[str, str]]) -> Check:
    """By name and content, in any order; two may have one name."""
    missing, added = Counter(source) - Counter(result), Counter(result) - Counter(source)
    gone, new = (sorted(name for name, _ in found.elements()) for found in (missing, added))
    changed = sorted((Counter(gone) & Counter(new)).elements())
    lost, extra = (sorted((Counter(names) - Counter(changed)).elements()) for names in (gone, new))
    parts = (("lost", lost), ("changed", changed), ("not in the source", extra))
    reason = "; ".join(f"{word}: {', '.join(names)}" for word, names in parts if names)
    return Check("attachments", not reason, str(len(source)), str(len(result)), reason)


def _chapters(source_film: FilmFacts, result_film: FilmFacts, origins: tuple[float, float], tolerance: float) -> Check:
    """Titles, beginnings, and ends where both files state them: in MP4 a chapter ends where the next begins."""
    source, result = source_film.chapters, result_film.chapters
    states_ends = all("matroska" in film.container for film in (source_film, result_film))
    before, after = str(len(source)), str(len(result))
    if len(source) != len(result):
        titles = [chapter.title for chapter in result]
        lost = [chapter.title or "untitled" for chapter in source if chapter.title not in titles]
        reason = f"{len(source)} chapters became {len(result)}" + (f"; lost: {', '.join(lost)}" if lost else "")
        return Check("chapters", False, before, after, reason)
    for number, (one, other) in enumerate(zip(source, result, strict=True), 1):
        off_ms = 1000 * ((other.start_seconds - origins[1]) - (one.start_seconds - origins[0]))
        if one.title != other.title:
            reason = f'chapter {number}, "{one.title}", is now "{other.title}"'
            return Check("chapters", False, before, after, reason)
        if abs(off_ms) > 1000 * (tolerance + _CHAPTER_ROUNDING_SECONDS):
            return Check("chapters", False, before, after, f"chapter {number} begins {off_ms:+.1f} ms off")
        off_ms = 1000 * ((other.end_seconds - origins[1]) - (one.end_seconds - origins[0]))
        if states_ends and abs(off_ms) > 1000 * (tolerance + _CHAPTER_ROUNDING_SECONDS):
            return Check("chapters", False, before, after, f"chapter {number} ends {off_ms:+.1f} ms off")
    return Check("chapters", True, before, after)


def _metadata(source: dict[str, str], result: dict[str, str]) -> Check:
    before, after = film_tags(source), film_tags(result)
    lost = sorted(before.keys() - after.keys())
    changed = sorted(key for key in before.keys() & after.keys() if not _same_tag(key, before[key], after[key]))
    parts = (("lost", lost), ("changed", changed))
    reason = "; ".join(f"{word}: {', '.join(keys)}" for word, keys in parts if keys)
    return Check("metadata", not reason, f"{len(before)} tags", f"{len(after)} tags", reason)


def _same_tag(key: str, one: str, other: str) -> bool:
    """A moment of creation is held to the second: MP4 has no parts of one."""
    if key != "creation_time":
        return one == other
    try:
        moments = [datetime.fromisoformat(text).replace(microsecond=0) for text in (one, other)]
    except ValueError:
        return one == other
    return moments[0].timestamp() == moments[1].timestamp()


def film_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Tags of the film itself, keys in small letters; Matroska writes them large, MP4 some twice with a language."""
    tags = {key.lower(): value.strip() for key, value in metadata.items()}
    plain = {key: value for key, value in tags.items() if key.rpartition("-")[0] not in tags}
    return {key: value for key, value in plain.items() if key not in _OF_THE_FILE}
