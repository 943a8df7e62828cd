"""Which picture of the source one of the result is taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lipt_stream.media.audit_pictures import AuditPicture
from lipt_stream.verify.pictures import PictureMatcher, align


def flat(levels: Sequence[float]) -> list[AuditPicture]:
    """Pictures of one level each, 25 a second."""
    return [
        AuditPicture(index, index / 25, 0.04, np.full((8, 8, 3), level, np.float32))
        for index, level in enumerate(levels)
    ]


def matched(source: Sequence[float], result: Sequence[float]) -> str:
    matcher = PictureMatcher(iter(flat(source)), 0.001)
    for picture in flat(result):
        matcher.add(picture)
    matcher.finish()
    return str(align(matcher.matches, len(matcher.source_times)))


def test_flat_pictures_of_a_slow_fade_may_each_be_a_level_off() -> None:
    levels = np.arange(20, 120, dtype=float)
    wrong_by = np.random.default_rng(3).integers(-1, 2, len(levels))
    assert matched(list(levels), list(levels + wrong_by)) == ""


def test_flat_pictures_that_differ_by_more_are_told_apart() -> None:
    levels = [20.0 + 3 * number for number in range(60)]
    shown = [*levels[:20], levels[19], *levels[21:]]  # picture 20 was lost, and the one before it stayed
    assert matched(levels, shown) == "missing: the source's 20; shown twice: 20"
