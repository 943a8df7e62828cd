"""Pictures that hardly differ from their neighbours: which of them one shows, and when there is no telling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from lipt_stream.media.audit_pictures import AuditPicture
from lipt_stream.verify.pictures import PictureMatcher, align

SHAPE = 36, 64, 3
COUNT = 12


def noise(rng: np.random.Generator, rms: float) -> NDArray[np.float32]:
    return rng.normal(0, rms, SHAPE).astype(np.float32)


def matches(steps_rms: float, texture_rms: float, blended: float) -> list[int]:
    """Of a film that goes on by `steps_rms` from picture to picture. The result differs by a texture that stays, and
    its picture 6 is so much `blended` with the one before, as an encoder's skipped blocks make it."""
    rng = np.random.default_rng(0)
    texture, scene = noise(rng, texture_rms), np.full(SHAPE, 120, np.float32)
    source = [scene := scene + noise(rng, steps_rms) for _ in range(COUNT)]
    shown = [one + texture for one in source]
    shown[6] += blended * (source[5] - source[6])
    matcher = PictureMatcher((AuditPicture(n, n / 25, 0.04, one) for n, one in enumerate(source)), 0.001)
    for number, picture in enumerate(shown):
        matcher.add(AuditPicture(number, number / 25, 0.04, picture))
    matcher.finish()
    return list(matcher.matches)


@pytest.mark.parametrize(("steps_rms", "texture_rms"), [(0.8, 1.9), (0.55, 1.0)])
def test_a_step_smaller_than_what_the_upscaler_changed_is_no_repeated_picture(
    steps_rms: float, texture_rms: float
) -> None:
    assert matches(steps_rms, texture_rms, blended=0.85) == list(range(COUNT))


@pytest.mark.parametrize(("steps_rms", "texture_rms"), [(0.8, 0.5), (1.2, 1.9), (3, 8)])
def test_a_picture_that_is_repeated_is_found(steps_rms: float, texture_rms: float) -> None:
    found = matches(steps_rms, texture_rms, blended=1)
    assert found == [*range(6), 5, *range(7, COUNT)]
    assert str(align(found, COUNT)) == "missing: the source's 6; shown twice: 6"


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


@pytest.mark.parametrize(("step_rms", "frozen_from", "is_found"), [(0.07, 20, True), (0.07, 200, False)])
def test_a_motion_too_slow_to_tell_neighbours_apart_that_stands_still(
    step_rms: float, frozen_from: int, is_found: bool
) -> None:
    rng = np.random.default_rng(0)
    scene, way = noise(rng, 30) + 120, noise(rng, step_rms)
    source = [scene + number * way for number in range(200)]
    matcher = PictureMatcher((AuditPicture(n, n / 25, 0.04, one) for n, one in enumerate(source)), 0.001)
    for number in range(len(source)):
        matcher.add(AuditPicture(number, number / 25, 0.04, source[min(number, frozen_from)] + noise(rng, 1)))
    matcher.finish()
    assert bool(matcher.stale) is is_found
