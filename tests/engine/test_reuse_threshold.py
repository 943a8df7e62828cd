"""Reuse with a threshold: what differs by no more than it stays as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import VideoFormat
from tests.engine.driven_engine import assert_equal, copied, every_tile, in_tiles, submit


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", precision="float32")


@settings(max_examples=10)
@given(threshold=st.integers(1, 9), frames=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 99)), max_size=6))
def test_above_zero_it_is_the_picture_of_a_canvas_that_is_no_further_off(
    nano: Upscaler, threshold: int, frames: list[tuple[int, int]]
) -> None:
    """Noise of any strength on a flat picture, and a dot that moves."""
    video = VideoFormat(width=130, height=90)
    y, u, v = (np.full(shape, 100, np.uint8) for shape in video.plane_shapes)
    engine = in_tiles(nano, video, (y, u, v), threshold=threshold)
    moved = copied((y, u, v))
    moved[0][5, 5] = 200
    submit(engine, moved)  # the first in tiles, of the frame itself
    random = np.random.default_rng(3)
    for noise, place in frames:
        y, u, v = (random.integers(100 - noise, 101 + noise, plane.shape, dtype=np.uint8) for plane in (y, u, v))
        y[place % 90, place] = 200
        slot = submit(engine, (y, u, v))
        for canvas, plane in zip(slot.host_in, (y, u, v), strict=True):
            assert np.abs(canvas.astype(int) - plane).max() <= (threshold if slot.work.changed is not None else 0)
        if slot.work.changed is not None and slot.work.changed.any():
            assert_equal(slot.host_out, every_tile(nano, video, slot.host_in))


def test_a_threshold_lets_noise_below_it_pass(nano: Upscaler) -> None:
    """The picture stays that of the first frame, 45 dB from what the noisy frames would be."""
    video = VideoFormat(width=130, height=90)
    y, u, v = (np.full(shape, 100, np.uint8) for shape in video.plane_shapes)
    random = np.random.default_rng(3)
    engine = in_tiles(nano, video, (y, u, v), threshold=2)
    exact = Engine(nano, video, 1)
    for _ in range(4):
        noisy = tuple(random.integers(99, 102, plane.shape, dtype=np.uint8) for plane in (y, u, v))
        slot = submit(engine, noisy)  # type: ignore[arg-type]
        assert slot.work.reused == slot.work.tiles
        expected = submit(exact, noisy).host_out  # type: ignore[arg-type]
        error = np.concatenate([(a.astype(float) - b).ravel() for a, b in zip(slot.host_out, expected, strict=True)])
        assert 10 * math.log10(255**2 / (error**2).mean()) > 45
    y[40, 40] += 3
    assert submit(engine, (y, u, v)).work.reused < slot.work.tiles
