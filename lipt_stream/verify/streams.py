"""All of two films but the picture, compared: streams, packets, their times, chapters, attachments, tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, isnan
from typing import Final

from lipt_stream.media.audit import CopiedKind, FilmFacts, StreamFacts
from lipt_stream.media.audit_packets import PacketTrack
from lipt_stream.media.audit_sound import hear
from lipt_stream.media.languages import in_mov
from lipt_stream.verify.beside import compare_beside, listed
from lipt_stream.verify.facts import NONE, Check, tolerance_seconds
from lipt_stream.verify.sound import BLOCK_MS, MAX_SOUND_OFFSET_MS, compare_heard

_TIMED_INSIDE: Final = frozenset({"dvd_subtitle"})  # a picture's own commands end it; in MP4 a packet lasts to the next


def compare_films(
    source: FilmFacts, result: FilmFacts, origins: tuple[float, float], picture_tolerance: float
) -> Iterator[Check]:
    """Streams, their packets and their times, chapters, attachments, tags.

    `origins`: time of the first picture in each file, from which all other times count; seconds.
    """
    for kind in ("audio", "subtitle"):
        yield from _streams(source, result, kind, origins, picture_tolerance)
    yield from compare_beside(source, result, origins, picture_tolerance)


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
            if _is_decoded(one, other) or _is_pcm_with_holes(one, other):
                sounds = (
                    hear(source.path, one.index, one.packets.seconds, source_codec=one.codec),
                    hear(result.path, other.index, other.packets.seconds, source_codec=one.codec),
                )
                limit_ms = MAX_SOUND_OFFSET_MS + (BLOCK_MS if _is_decoded(one, other) else 0)
                yield compare_heard(f"{kind} {number} heard", *sounds, origins, limit_ms)
                delays = (sounds[0].delay_seconds, sounds[1].delay_seconds)
            else:
                yield _packets(f"{kind} {number} packets", *_comparable(one, other))
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
    one, other = _comparable(one, other)
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


def _is_pcm_with_holes(one: StreamFacts, other: StreamFacts) -> bool:
    """Whether PCM is not the same to the byte, for there may be silence in its holes now, or has holes at all, which
    may be elsewhere now."""
    if one.codec != other.codec or not one.codec.startswith("pcm_"):
        return False
    return one.packets.whole != other.packets.whole or _has_holes(one.packets) or _has_holes(other.packets)


def _has_holes(track: PacketTrack) -> bool:
    ends = (time + duration for time, duration in zip(track.seconds, track.durations, strict=True))
    return any(1000 * abs(time - end) > MAX_SOUND_OFFSET_MS for time, end in zip(track.seconds[1:], ends, strict=False))


def _comparable(one: StreamFacts, other: StreamFacts) -> tuple[StreamFacts, StreamFacts]:
    """Text that was carried over into another codec by its words alone."""
    if one.codec == other.codec or not one.words or not other.words:
        return one, other
    return replace(one, packets=one.words), replace(other, packets=other.words)


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
        reasons.append(f"the dispositions {listed(before)} became {listed(after)}")
    detail = "; ".join(reasons)
    if not detail and source.codec != result.codec and is_converted:
        what = "the text was carried over" if source.is_text else "the sound was decoded"
        detail = f"{what} from {source.codec} to {result.codec}"
    return Check(name, not reasons, _describe(source), _describe(result), detail)


def _same_in_mp4(one: StreamFacts, other: StreamFacts) -> bool:
    """MP4 has one number for all layers of MPEG audio, and FFmpeg's reader calls them all mp3; each packet tells."""
    return {one.codec, other.codec} == {"mp2", "mp3"} and one.packets.whole == other.packets.whole


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
    off_ms, number = _worst_spacing(one.seconds, other.seconds, may_coincide=source.kind == "subtitle")
    reason = "" if off_ms <= limit_ms else f"same contents, but packet {number} comes {off_ms:.1f} ms off"
    if not reason and source.kind == "subtitle" and source.codec not in _TIMED_INSIDE:
        pairs = enumerate(zip(one.durations, other.durations, strict=True))
        changed = [n for n, (was, now) in pairs if was > 0 and 1000 * abs(now - was) > limit_ms]
        reason = f"same contents, but number {changed[0]} is shown for another time" if changed else ""
    return Check(name, not reason, before, after, reason)


def _length(track: PacketTrack) -> float:
    return track.end_seconds - track.seconds[0] if len(track) else 0.0


def _worst_spacing(source: Sequence[float], result: Sequence[float], *, may_coincide: bool) -> tuple[float, int]:
    """(ms, packet) of the time, counted from the first packet's, that differs most. Those that go back do not count;
    those that stand still do where they `may_coincide`, as two lines that are said at once."""
    worst, latest = (0.0, 0), -inf
    for number, (one, other) in enumerate(zip(source, result, strict=True)):
        if isnan(one) or one < latest or (one == latest and not may_coincide):
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
    reason = "no time is stated for its first packet" if isnan(off_ms) else reason
    return Check(name, ok, f"{one:.1f} ms", f"{other:.1f} ms", reason)
