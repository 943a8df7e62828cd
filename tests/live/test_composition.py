"""The preview's picture holds both sides exactly, whatever the sizes."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.live.composition import Area, Composition


def noise(format: VideoFormat, seed: int) -> Planes:
    rng = np.random.default_rng(seed)
    y, u, v = (rng.integers(0, 1 << format.bit_depth, s).astype(format.dtype) for s in format.plane_shapes)
    return y, u, v


def cut(plane: np.ndarray, area: Area, halve: bool) -> np.ndarray:
    x, y = (area.x // 2, area.y // 2) if halve else (area.x, area.y)
    height, width = ((area.height + 1) // 2, (area.width + 1) // 2) if halve else (area.height, area.width)
    return plane[y : y + height, x : x + width]


@given(width=st.integers(1, 40), height=st.integers(1, 40), scale=st.integers(1, 4))
def test_both_sides_are_in_it_to_the_sample_and_sides_are_even(width: int, height: int, scale: int) -> None:
    source = VideoFormat(width=width, height=height)
    composition = Composition(source, source.scaled(scale))
    before, after = noise(source, 1), noise(source.scaled(scale), 2)
    composed = composition.compose(before, after)
    assert composition.scale == scale
    assert composition.format.width % 2 == composition.format.height % 2 == 0
    assert composition.source.y % 2 == 0
    for number, plane in enumerate(composed):
        assert plane.shape == composition.format.plane_shapes[number]
        np.testing.assert_array_equal(cut(plane, composition.result, number > 0), after[number])
        np.testing.assert_array_equal(cut(plane, composition.source, number > 0), before[number])


@pytest.mark.parametrize(("color_range", "black"), [("studio", 16), ("full", 0)])
def test_what_is_left_is_black(color_range: Literal["studio", "full"], black: int) -> None:
    source = VideoFormat(width=16, height=8, color_range=color_range)
    y, u, v = Composition(source, source.scaled(2)).compose(noise(source, 1), noise(source.scaled(2), 2))
    assert (y[16:, 16:] == black).all()
    assert (u[8:, 8:] == 128).all()
    assert (v[8:, 8:] == 128).all()


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv420p12le"])
def test_deeper_samples_are_rounded(pix_fmt: Literal["yuv420p10le", "yuv420p12le"]) -> None:
    source = VideoFormat(width=16, height=8, pix_fmt=pix_fmt)
    after = noise(source.scaled(2), 2)
    composition = Composition(source, source.scaled(2))
    composed = composition.compose(noise(source, 1), after)
    assert composition.format.bit_depth == 8
    exact = after[0] / (1 << (source.bit_depth - 8))
    assert np.abs(cut(composed[0], composition.result, False) - np.minimum(exact, 255)).max() <= 0.5


def test_aspect_and_rotation_are_for_who_draws_it() -> None:
    source = VideoFormat(width=720, height=576, sample_aspect_ratio=Fraction(16, 15), rotation=90)
    composition = Composition(source, source.scaled(2))
    assert (composition.format.sample_aspect_ratio, composition.format.rotation) == (1, 0)
    assert (composition.sample_aspect_ratio, composition.rotation) == (Fraction(16, 15), 90)
