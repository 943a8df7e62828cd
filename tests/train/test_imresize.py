"""imresize against known weights, torch's antialiased bicubic, Pillow's Lanczos, and its own invariants."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lipt_stream.train.imresize import contributions, imresize

RNG = np.random.default_rng(5)
KERNELS = st.sampled_from(["cubic", "lanczos3"])
SCALES = st.sampled_from([Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3), 1, 2, 3, 4, 1.7])


def test_weights_of_halving_are_matlabs():
    indices, weights = contributions(16, Fraction(1, 2))
    half = np.array([-3, -9, 29, 111]) / 256
    np.testing.assert_allclose(weights, np.tile(np.concatenate([half, half[::-1]]), (8, 1)), atol=1e-15)
    assert indices[0].tolist() == [2, 1, 0, 0, 1, 2, 3, 4]  # mirrored about the outer face of the first sample
    assert indices[-1].tolist() == [11, 12, 13, 14, 15, 15, 14, 13]


def test_weights_of_doubling_are_keys_at_a_quarter():
    indices, weights = contributions(8, 2)
    phase = np.array([-3, 29, 111, -9]) / 128
    for row, index in zip(weights[4:8:2], indices[4:8:2], strict=True):
        np.testing.assert_allclose(row[row != 0], phase, atol=1e-15)
        assert np.diff(index).tolist() == [1] * (len(index) - 1)
    np.testing.assert_allclose(weights[5][weights[5] != 0], phase[::-1], atol=1e-15)


@pytest.mark.parametrize("kernel", ["cubic", "lanczos3"])
def test_scale_one_changes_nothing(kernel):
    image = RNG.integers(0, 256, (13, 9, 3), dtype=np.uint8)
    assert np.array_equal(imresize(image, 1, kernel), image)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), scale=SCALES, kernel=KERNELS, value=st.integers(0, 255))
def test_a_constant_stays_constant_at_every_size(height, width, scale, kernel, value):
    out = imresize(np.full((height, width), value, np.uint8), scale, kernel)
    assert out.shape == (-(-height * scale // 1), -(-width * scale // 1))
    assert out.dtype == np.uint8
    assert np.all(out == value)


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 50), scale=SCALES, kernel=KERNELS)
def test_weights_sum_to_one_and_indices_are_inside(length, scale, kernel):
    indices, weights = contributions(length, scale, kernel)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert indices.min() >= 0
    assert indices.max() < length


@settings(max_examples=30, deadline=None)
@given(height=st.integers(2, 30), width=st.integers(2, 30), scale=SCALES, kernel=KERNELS)
def test_it_commutes_with_flips_and_transposition(height, width, scale, kernel):
    image = RNG.random((height, width))
    out = imresize(image, scale, kernel)
    np.testing.assert_allclose(imresize(image.T, scale, kernel), out.T, atol=1e-12)
    # the sample grid is symmetric only where the output size is exact
    if (height * Fraction(scale)).denominator == 1:
        np.testing.assert_allclose(imresize(image[::-1], scale, kernel), out[::-1], atol=1e-9)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_shrinking_agrees_with_torchs_antialiased_bicubic(factor):
    image = RNG.random((factor * 20, factor * 17))
    ours = imresize(image, Fraction(1, factor))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], scale_factor=1 / factor, mode="bicubic", antialias=True
    )[0, 0].numpy()
    inner = slice(3, -3)  # torch renormalises at the edges where MATLAB mirrors
    np.testing.assert_allclose(ours[inner, inner], theirs[inner, inner], atol=1 / 255)


@pytest.mark.parametrize("scale", [Fraction(1, 2), Fraction(1, 3), 2, 3])
@pytest.mark.parametrize(("kernel", "filter_"), [("cubic", Image.BICUBIC), ("lanczos3", Image.LANCZOS)])
def test_the_interior_agrees_with_pillow(scale, kernel, filter_):
    image = RNG.random((60, 72)).astype(np.float32)
    ours = imresize(image, scale, kernel)
    theirs = np.asarray(Image.fromarray(image).resize(ours.shape[::-1], filter_))
    edge = 12
    np.testing.assert_allclose(ours[edge:-edge, edge:-edge], theirs[edge:-edge, edge:-edge], atol=1e-5)


def test_bytes_are_rounded_half_up_and_clamped():
    assert imresize(np.array([[10, 11]], np.uint8), Fraction(1, 2)).tolist() == [[11]]  # 10.5
    step = np.repeat(np.array([[0, 255]], np.uint8), 8, axis=1)
    out = imresize(step, 4)
    exact = imresize(step.astype(float), 4)
    assert exact.min() < 0
    assert exact.max() > 255  # the kernel overshoots, so clamping was needed
    assert np.array_equal(out, np.clip(np.floor(exact + 0.5), 0, 255))


def test_channels_are_resized_apart():
    image = RNG.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    together = imresize(image, Fraction(1, 3))
    apart = np.stack([imresize(image[:, :, c], Fraction(1, 3)) for c in range(3)], axis=2)
    assert np.array_equal(together, apart)


@pytest.mark.parametrize(("shape", "scale"), [((4, 4), 0), ((4, 4), -1), ((4,), 2), ((0, 4), 2)])
def test_nonsense_is_refused(shape, scale):
    with pytest.raises(ValueError):
        imresize(np.zeros(shape), scale)
