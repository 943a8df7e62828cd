"""All of two films but the picture, compared: streams, packets, their times, chapters, attachments, tags."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from math import inf, isnan
from typing import Final

from lipt_stream.media.audit import ChapterFacts, CopiedKind, FilmFacts, PacketTrack, StreamFacts
from lipt_stream.media.audit_sound import hear
from lipt_stream.media.languages import in_mov
from lipt_stream.verify.facts import NONE, Check, tolerance_seconds
from lipt_stream.verify.sound import BLOCK_MS, MAX_SOUND_OFFSET_MS, compare_heard

_CHAPTER_ROUNDING_SECONDS: Final = 0.002  # containers count chapters in milliseconds, and both may round
_TIMED_INSIDE: Final = frozenset({"dvd_subtitle"})  # a picture's own commands end it; in MP4 a packet lasts to the next
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
    }
    | {"bps", "number_of_frames", "number_of_bytes", "_statistics_tags", "_statistics_writing_app"}
    | {"_statistics_writing_date_utc"}
    | {"canseektoend", "datasize", "hasaudio", "hasvideo", "haskeyframes", "hasmetadata", "videosize", "audiosize"}
    | {"lasttimestamp", "lastkeyframetimestamp", "lastkeyframelocation", "metadatacreator"}  # FLV's
)


def compare_films(
    source: FilmFacts, result: FilmFacts, origins: tuple[float, float], picture_tolerance: float
) -> Iterator[Check]:
    """Streams, their packets and their times, chapters, attachments, tags.

    `origins`: time of the first picture in each file, from which all other times count; seconds.
    """
    for kind in ("audio", "subtitle"):
        yield from _streams(source, result, kind, origins, picture_tolerance)
    if source.covers or result.covers:
        yield _covers(source.covers, result.covers)
    if source.further_videos or result.further_videos:
        yield _further_videos(source.further_videos, result.further_videos)
    if source.attachments or result.attachments:
        yield _attachments(source.attachments, result.attachments)
    if source.chapters or result.chapters:
        yield _chapters(source.chapters, result.chapters, origins, picture_tolerance)
    yield _metadata(source.metadata, result.metadata)
    if source.others:
        yield Check("other streams", True, ", ".join(source.others), ", ".join(result.others) or NONE, "not compared")


def _streams(
    source: FilmFacts, result: FilmFacts, kind: CopiedKind, origins: tuple[float, float], picture_tolerance: float
) -> Iterator[Check]:
    before, after = source.of_kind(kind), result.of_kind(kind)
    if not before and not after:
        return
    pairs = pair_streams(before, after)
    # Nothing is lost with a track that is empty, and some containers hold none such.
    gone = [(number, one) for number, (one, other) in enumerate(pairs, 1) if other is None and len(one.packets)]
    lost = [f"{kind} {number} ({_describe(one)})" for number, one in gone]
    extra = len(after) - sum(other is not None for _, other in pairs)
    reasons = ([f"lost: {', '.join(lost)}"] if lost else []) + ([f"{extra} that the source lacks"] if extra else [])
    kept_order = [after.index(other) for _, other in pairs if other is not None]
    if kept_order != sorted(kept_order):
        reasons.append("their order changed")
    yield Check(f"{kind} streams", not reasons, str(len(before)), str(len(after)), "; ".join(reasons))
    has_default = any("default" in stream.dispositions for stream in before)
    for number, (one, other) in enumerate(pairs, 1):
        if other is not None:
            yield _stream(f"{kind} {number}", one, other, has_default)
            delays = (0.0, 0.0)
            if _is_decoded(one, other) or _is_other_pcm(one, other):
                sounds = (
                    hear(source.path, one.index, one.packets.seconds, source_codec=one.codec),
                    hear(result.path, other.index, other.packets.seconds, source_codec=one.codec),
                )
                limit_ms = MAX_SOUND_OFFSET_MS + (BLOCK_MS if _is_decoded(one, other) else 0)
                yield compare_heard(f"{kind} {number} heard", *sounds, origins, limit_ms)
                delays = (sounds[0].delay_seconds, sounds[1].delay_seconds)
            else:
                yield _packets(f"{kind} {number} packets", one, other)
            if len(one.packets) and len(other.packets):
                zeros = (origins[0] - delays[0], origins[1] - delays[1])
                yield _offset(f"{kind} {number} offset", one, other, zeros, picture_tolerance)


def pair_streams(
    source: Sequence[StreamFacts], result: Sequence[StreamFacts]
) -> list[tuple[StreamFacts, StreamFacts | None]]:
    """Each source stream with the one in the result that most looks like it: by content, language, codec, order."""
    left = list(result)
    found: dict[int, StreamFacts] = {}
    for likeness in (_same_content, _same_language_and_codec, _same_codec, _both_text, _is_decoded):
        for number, stream in enumerate(source):
            match = None if number in found else next((other for other in left if likeness(stream, other)), None)
            if match is not None:
                found[number] = match
                left.remove(match)
    return [(stream, found.get(number)) for number, stream in enumerate(source)]


def _same_content(one: StreamFacts, other: StreamFacts) -> bool:
    return one.packets.whole == other.packets.whole and len(one.packets) > 0


def _same_language_and_codec(one: StreamFacts, other: StreamFacts) -> bool:
    return one.codec == other.codec and _same_language(one, other)


def _same_language(one: StreamFacts, other: StreamFacts) -> bool:
    return in_mov(one.language) == in_mov(other.language)


def _same_codec(one: StreamFacts, other: StreamFacts) -> bool:
    return one.codec == other.codec


def _both_text(one: StreamFacts, other: StreamFacts) -> bool:
    return one.is_text and other.is_text


def _is_decoded(one: StreamFacts, other: StreamFacts) -> bool:
    """Whether PCM stands for a codec that its container could not hold."""
    return one.kind == other.kind == "audio" and one.codec != other.codec and other.codec.startswith("pcm_")


def _is_other_pcm(one: StreamFacts, other: StreamFacts) -> bool:
    """Whether PCM is not the same to the byte: there may be silence in its holes now."""
    return one.codec == other.codec and one.codec.startswith("pcm_") and one.packets.whole != other.packets.whole


def _describe(stream: StreamFacts) -> str:
    words = [stream.codec, stream.language, f'"{stream.title}"' if stream.title else "", *sorted(stream.dispositions)]
    return " ".join(filter(None, words))


def _stream(name: str, source: StreamFacts, result: StreamFacts, has_default: bool) -> Check:
    reasons: list[str] = []
    is_converted = (source.is_text and result.is_text) or _is_decoded(source, result)
    if source.codec != result.codec and not is_converted and not _same_in_mp4(source, result):
        reasons.append(f"the codec {source.codec} became {result.codec}")
    if not _same_language(source, result):
        reasons.append(f"the language {source.language or NONE} became {result.language or NONE}")
    if source.title != result.title:
        reasons.append(f'the title "{source.title}" became "{result.title}"')
    # MP4 has no way to say that no track is the default.
    ignored: set[str] = set() if has_default else {"default"}
    before, after = source.dispositions - ignored, result.dispositions - ignored
    if before != after:
        reasons.append(f"the dispositions {_listed(before)} became {_listed(after)}")
    detail = "; ".join(reasons)
    if not detail and source.codec != result.codec and is_converted:
        what = "the text was carried over" if source.is_text else "the sound was decoded"
        detail = f"{what} from {source.codec} to {result.codec}"
    return Check(name, not reasons, _describe(source), _describe(result), detail)


def _same_in_mp4(one: StreamFacts, other: StreamFacts) -> bool:
    """MP4 has one number for all layers of MPEG audio, and FFmpeg's reader calls them all mp3; each packet tells."""
    return {one.codec, other.codec} == {"mp2", "mp3"} and one.packets.whole == other.packets.whole


def _listed(names: frozenset[str]) -> str:
    return "+".join(sorted(names)) or NONE


def _packets(name: str, source: StreamFacts, result: StreamFacts) -> Check:
    """Contents by hash, the times between them, and how long a subtitle is shown.

    PCM has no packets of its own, containers cut it as they like: where its samples are the same, so is its length.
    """
    one, other = source.packets, result.packets
    before, after = f"{len(one)} packets", f"{len(other)} packets"
    # Matroska rounds a packet's time and the codec's delay apart, hence a tick more.
    limit_ms = 1000 * (tolerance_seconds(source.tick_seconds, result.tick_seconds) + result.tick_seconds)
    if source.codec.startswith("pcm_"):
        longer_ms = 1000 * (_length(other) - _length(one))
        reason = f"same samples, but they take {longer_ms:+.1f} ms" if abs(longer_ms) > limit_ms else ""
        return Check(name, not reason, before, after, reason)
    if one.digests != other.digests:
        pairs = zip(one.digests, other.digests, strict=False)
        first = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
        count = f"{len(one)} packets became {len(other)}; " if len(one) != len(other) else ""
        return Check(name, False, before, after, f"{count}the first that differs is number {first}")
    off_ms, number = _worst_spacing(one.seconds, other.seconds)
    reason = "" if off_ms <= limit_ms else f"same contents, but packet {number} comes {off_ms:.1f} ms off"
    if not reason and source.kind == "subtitle" and source.codec not in _TIMED_INSIDE:
        pairs = enumerate(zip(one.durations, other.durations, strict=True))
        changed = [n for n, (was, now) in pairs if was > 0 and 1000 * abs(now - was) > limit_ms]
        reason = f"same contents, but number {changed[0]} is shown for another time" if changed else ""
    return Check(name, not reason, before, after, reason)


def _length(track: PacketTrack) -> float:
    return track.end_seconds - track.seconds[0] if len(track) else 0.0


def _worst_spacing(source: Sequence[float], result: Sequence[float]) -> tuple[float, int]:
    """(ms, packet) of the time, counted from the first packet's, that differs most. Those that go back do not count."""
    worst, latest = (0.0, 0), -inf
    for number, (one, other) in enumerate(zip(source, result, strict=True)):
        if isnan(one) or one <= latest:
            continue
        latest = one
        off_ms = 1000 * abs((other - result[0]) - (one - source[0]))
        if off_ms > worst[0]:
            worst = off_ms, number
    return worst


def _offset(
    name: str, source: StreamFacts, result: StreamFacts, origins: tuple[float, float], tolerance: float
) -> Check:
    """Where a stream begins against the picture. Subtitles are held to a tick as pictures are."""
    one, other = (1000 * (s.packets.seconds[0] - o) for s, o in zip((source, result), origins, strict=True))
    off_ms = other - one
    rounding_ms = 1000 * (tolerance + tolerance_seconds(source.tick_seconds, result.tick_seconds))
    limit_ms = MAX_SOUND_OFFSET_MS if source.kind == "audio" else max(MAX_SOUND_OFFSET_MS, rounding_ms)
    ok = not isnan(off_ms) and abs(off_ms) <= limit_ms
    direction = "late" if off_ms > 0 else "early"
    reason = "" if ok else f"{abs(off_ms):.1f} ms {direction} against the picture, {limit_ms:.0f} are allowed"
    return Check(name, ok, f"{one:.1f} ms", f"{other:.1f} ms", reason)


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


def _attachments(source: dict[str, str], result: dict[str, str]) -> Check:
    lost = sorted(source.keys() - result.keys())
    changed = sorted(name for name in source.keys() & result.keys() if source[name] != result[name])
    extra = sorted(result.keys() - source.keys())
    parts = (("lost", lost), ("changed", changed), ("not in the source", extra))
    reason = "; ".join(f"{word}: {', '.join(names)}" for word, names in parts if names)
    return Check("attachments", not reason, str(len(source)), str(len(result)), reason)


def _chapters(
    source: Sequence[ChapterFacts], result: Sequence[ChapterFacts], origins: tuple[float, float], tolerance: float
) -> Check:
    """Titles and beginnings. Ends are not held: in MP4 a chapter ends where the next begins."""
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
    return Check("chapters", True, before, after)


def _metadata(source: dict[str, str], result: dict[str, str]) -> Check:
    before, after = film_tags(source), film_tags(result)
    lost = sorted(before.keys() - after.keys())
    changed = sorted(key for key in before.keys() & after.keys() if before[key] != after[key])
    parts = (("lost", lost), ("changed", changed))
    reason = "; ".join(f"{word}: {', '.join(keys)}" for word, keys in parts if keys)
    return Check("metadata", not reason, f"{len(before)} tags", f"{len(after)} tags", reason)


def film_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Tags of the film itself, keys in small letters; Matroska writes them large, MP4 some twice with a language."""
    tags = {key.lower(): value.strip() for key, value in metadata.items()}
    plain = {key: value for key, value in tags.items() if key.rpartition("-")[0] not in tags}
    return {key: value for key, value in plain.items() if key not in _OF_THE_FILE}
