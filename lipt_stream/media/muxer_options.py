"""How FFmpeg's muxers are asked to write a film, so that times stay exact and what is written so far can be played; and
what of the picture they lose all the same."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Final

import av

from lipt_stream.frame import VideoFormat
from lipt_stream.media import matroska_aspect
from lipt_stream.media.containers import container_format

_MAX_TIMESCALE: Final = 2**31 - 1
_MATROSKA: Final = ("matroska", "webm")
_MILLISECOND: Final = Fraction(1, 1_000)


def muxer_options(
    container: str, time_base: Fraction, *, in_fragments: bool, aspect_is_written_later: bool
) -> dict[str, str]:
    """Options for `container` (FFmpeg's name) with pictures on `time_base`.

    `in_fragments` lets an MP4 or MOV be played up to where its writing was broken off. A plain one is unreadable until
    its end is written; this one grows in fragments, each playable without what follows, and its end turns it into a
    plain one. Not for films with subtitles or covers: FFmpeg gets the times of subtitles wrong between fragments, and
    adds an empty track for a cover. Nor where sound begins late or never: until each track has something, FFmpeg holds
    the whole film in memory, and a track of AC-3 that has nothing then fails it at the end. `aspect_is_written_later`:
    see matroska_aspect.
    """
    # Subtitles may not come for minutes; nothing else waits for them (or sits in memory) longer than a second.
    prompt = {"max_interleave_delta": str(av.time_base), "flush_packets": "1"}
    if container in _MATROSKA:
        # A sound track that begins a few milliseconds early (AAC priming) must not move the pictures.
        checksums = matroska_aspect.MUXER_OPTIONS if aspect_is_written_later else {}
        return prompt | {"avoid_negative_ts": "disabled"} | checksums
    # Fragments begin at keyframes: elsewhere FFmpeg computes the end of a film with B-frames too early. The index comes
    # with the first fragment, because only then start offsets and AC-3 headers are known.
    fragments = {"movflags": "hybrid_fragmented+delay_moov+frag_keyframe"} if in_fragments else {}
    # The offset of the first picture is stored in the movie's timescale: the default, milliseconds, would round it.
    ticks = time_base.denominator
    return prompt | fragments | ({"movie_timescale": str(ticks)} if ticks <= _MAX_TIMESCALE else {})


def container_losses(path: Path, codec: str, format: VideoFormat) -> list[str]:
    """What of pictures of `format`, coded as `codec`, the container at `path` cannot say, in words."""
    is_matroska = container_format(path) in _MATROSKA
    losses: list[str] = []
    if is_matroska and (format.time_base / _MILLISECOND).denominator != 1:
        losses.append(f"{path.suffix} counts in milliseconds: timestamps are rounded to those")
    if codec == "av1" and format.chroma_location == "center" and not is_matroska:
        losses.append("av1 cannot say that chroma sits in the middle; players will take it half a pixel to the left")
    return losses
