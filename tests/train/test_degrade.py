"""Degraded pictures: the same for the same seed, in place, not tinted, by every encoder."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.errors import InputError, SettingsError
from lipt_stream.media.coding import Coding
from lipt_stream.media.round_trip import DECODERS
from lipt_stream.train.degrade import degrade, degrade_film
from lipt_stream.train.distort import blurred, coded, moved, noisy, resized, shrunk
from lipt_stream.train.evaluate import psnr_y
from lipt_stream.train.imresize import imresize
from lipt_stream.train.recipe import Blur, Degradation, Generation, Motion, Noise, draw

FINE = {
    "libx264": Coding("libx264", (("crf", "8"), ("preset", "veryfast"))),
    "libx265": Coding("libx265", (("crf", "8"), ("preset", "veryfast"))),
    "libvpx-vp9": Coding("libvpx-vp9", (("deadline", "realtime"), ("cpu-used", "6"), ("crf", "4")), 0.0),
    "mpeg2video": Coding("mpeg2video", (("qmin", "1"), ("qmax", "1"))),
}
COARSE = {
    "libx264": (("crf", "36"),),
    "libx265": (("crf", "38"),),
    "libvpx-vp9": (("deadline", "realtime"), ("cpu-used", "6"), ("crf", "62")),
    "mpeg2video": (("qmin", "25"), ("qmax", "25")),
}
PAN = Motion(frames=5, shown=2, dx=1.4, dy=-0.6, zoom=0.003)


def picture(height=240, width=320):
    """Edges and slopes of a photograph's kind; its colours change slowly, so that 4:2:0 can hold them."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    light = 20 * np.sin(x / 7) * np.cos(y / 9) + 12 * np.sin((x + 2 * y) / 23) + 25 * ((x // 40 + y // 30) % 2)
    tints = np.sin(x / 29 + y / 41)[..., None] * np.array([28.0, -6.0, -30.0])
    return blurred(np.clip(110 + light[..., None] + tints, 16, 235).astype(np.uint8), Blur(1.0, 1.0))


def bicubic(image, scale=2):
    height, width = image.shape[:2]
    return imresize(image[: height - height % scale, : width - width % scale], Fraction(1, scale))


def shift_between(moved_plane, plane, axis) -> float:
    """By how many pixels the first lies further along the axis, to first order: least squares on the slope."""
    slope = np.gradient(plane.astype(float), axis=axis)[4:-4, 4:-4]
    difference = (plane.astype(float) - moved_plane)[4:-4, 4:-4]
    return float((slope * difference).sum() / (slope**2).sum())


@pytest.mark.parametrize("task", ["sr", "deblock", "denoise"])
def test_the_seed_decides(task):
    degradation = Degradation(task, 2 if task == "sr" else 1)
    image = picture(96, 128)
    first, second = ([degrade(image, degradation, seed).tobytes() for seed in range(8)] for _ in range(2))
    assert first == second
    assert len(set(first)) >= 5  # clean ones are equal


def test_the_shares_are_those_that_are_promised():
    recipes = [draw(Degradation(), np.random.default_rng(seed)) for seed in range(2000)]
    clean = sum(not recipe.generations for recipe in recipes) / len(recipes)
    twice = sum(len(recipe.generations) == 2 for recipe in recipes) / len(recipes)
    assert clean == pytest.approx(0.1, abs=0.03)
    assert twice == pytest.approx(0.8 * 0.2, abs=0.03)
    used = {generation.coding.encoder for recipe in recipes for generation in recipe.generations}
    assert used == set(DECODERS)
    assert {recipe.kernel for recipe in recipes} == {"matlab", "bicubic", "lanczos", "bilinear", "area"}
    assert all(recipe.generations[-1].size == 1 for recipe in recipes if recipe.generations)
    assert all(0 <= recipe.motion.shown < recipe.motion.frames <= 8 for recipe in recipes)


def test_every_recipe_of_a_kind_works():
    """Each encoder, option and size that is drawn is one that the encoders take."""
    image = picture(64, 96)
    for seed in range(60):
        result = degrade(image, Degradation(), seed)
        assert result.shape == (32, 48, 3)
        assert result.dtype == np.uint8


@pytest.mark.parametrize("encoder", DECODERS)
@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_a_fine_coding_moves_and_tints_nothing(encoder, matrix, siting):
    image = bicubic(picture())
    back = coded(moved(image, PAN), Generation(FINE[encoder], 1.0, matrix, siting))[PAN.shown]
    assert psnr_y(back, image, 2) > 40
    assert np.abs((back.astype(float) - image).mean(axis=(0, 1))).max() < 1
    for axis in (0, 1):
        for plane in ((1, 0, 0), (0, 1, 0), (-1, 0, 1)):  # red, green, and blue against red: chroma
            assert abs(shift_between(back @ plane, image @ plane, axis)) < 0.1


@pytest.mark.parametrize(("height", "width"), [(96, 4032), (4096, 64)])
def test_photos_of_a_size_that_mpeg2_does_not_know_are_coded(height, width):
    """It has no sides of a multiple of 4096, which what is coded would be padded to."""
    image = np.resize(picture(96, 128), (height, width, 3))
    (back,) = coded([image], Generation(FINE["mpeg2video"], 1.0, 1, "left"))
    assert back.shape == image.shape


@pytest.mark.parametrize("encoder", DECODERS)
def test_a_coarse_coding_is_seen(encoder):
    image = bicubic(picture())
    rate = 0.0 if encoder == "libvpx-vp9" else None
    back = coded(moved(image, PAN), Generation(Coding(encoder, COARSE[encoder], rate), 1.0, 1, "left"))
    assert len(back) == PAN.frames
    assert psnr_y(back[PAN.shown], image, 2) < 40


def test_a_rate_is_kept_to():
    image = noisy(bicubic(picture()), Noise("gaussian", 8, is_gray=True), np.random.default_rng(0))
    poor, good = (
        coded([image] * 4, Generation(Coding("libx264", (), bits_per_pixel=rate), 1.0, 1, "left"))[2]
        for rate in (0.05, 1.0)
    )
    assert psnr_y(poor, image, 0) < psnr_y(good, image, 0) - 3


@pytest.mark.parametrize("kernel", ["matlab", "bicubic", "lanczos", "bilinear", "area"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_kernel_shrinks_in_place(kernel, scale):
    image = picture(240, 312)
    small, expected = shrunk(image, scale, 1.0, kernel), bicubic(image, scale)
    assert small.shape == expected.shape
    assert psnr_y(small, expected, 2) > psnr_y(np.roll(small, 1, axis=1), expected, 2) + 8
    through = resized(shrunk(image, scale, 1.5, kernel), *expected.shape[:2])
    assert psnr_y(through, expected, 2) > psnr_y(np.roll(through, 1, axis=0), expected, 2) + 8


def test_a_camera_passes_over_the_still():
    image = picture(80, 120)
    whole = moved(image, Motion(frames=5, shown=1, dx=2.0, dy=-1.0))
    assert whole[1] is image
    np.testing.assert_array_equal(whole[3][8:-8, 8:-8], np.roll(image, (2, -4), axis=(0, 1))[8:-8, 8:-8])
    grown = moved(image, Motion(frames=3, shown=0, zoom=0.01))
    assert not np.array_equal(grown[2], image)
    assert psnr_y(grown[2][30:50, 50:70], image[30:50, 50:70], 0) > psnr_y(grown[2][:20, :20], image[:20, :20], 0)


@settings(max_examples=25)
@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    motion=st.builds(
        Motion,
        st.just(8),
        st.integers(0, 7),
        st.floats(-3, 3),
        st.floats(-3, 3),
        st.floats(-0.005, 0.005),
    ),
)
def test_no_way_leaves_the_picture(height, width, motion):
    """A picture of white stays white: nothing from outside, which is black, comes into view."""
    assert all((frame == 255).all() for frame in moved(np.full((height, width, 3), 255, np.uint8), motion))


@pytest.mark.parametrize("sigma", [5, 20])
def test_noise_is_as_strong_as_it_says(sigma):
    gray, rng = np.full((200, 200, 3), 128, np.uint8), np.random.default_rng(0)
    free = noisy(gray, Noise("gaussian", sigma, is_gray=False), rng).astype(float) - 128
    assert free.std() == pytest.approx(sigma, rel=0.03)
    assert abs(np.corrcoef(free[..., 0].ravel(), free[..., 1].ravel())[0, 1]) < 0.03
    tied = noisy(gray, Noise("gaussian", sigma, is_gray=True), rng)
    assert (tied[..., 0] == tied[..., 2]).all()
    photons = noisy(gray, Noise("poisson", sigma, is_gray=False), rng).astype(float) - 128
    assert photons.std() == pytest.approx(sigma * np.sqrt(128 / 255), rel=0.03)
    assert abs(photons.mean()) < 0.3


def test_blur_is_the_gaussian_that_it_says():
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    spread = blurred(point, Blur(sigma_x=2.0, sigma_y=1.0)).astype(float)[..., 0]
    offsets = np.arange(31) - 15
    assert np.sqrt((spread.sum(0) * offsets**2).sum() / spread.sum()) == pytest.approx(2.0, rel=0.15)
    assert np.sqrt((spread.sum(1) * offsets**2).sum() / spread.sum()) == pytest.approx(1.0, rel=0.15)
    flat = np.full((20, 20, 3), 77, np.uint8)
    assert np.array_equal(blurred(flat, Blur(0.2, 0.9)), flat)


def test_noise_of_the_papers():
    image = picture(128, 128)
    levels = [
        (degrade(image, Degradation("denoise", 1, sigma=(25, 25)), seed).astype(float) - image).std()
        for seed in range(8)
    ]
    assert max(levels) == pytest.approx(25, rel=0.05)  # of the gaussian ones; photons make less of what is not white


def test_odd_sizes_are_cut_at_the_right_and_bottom():
    image = picture(97, 131)
    clean = Degradation("sr", 3, clean_share=2.0)  # always the first half of the share
    assert degrade(image, clean, 0).shape == (32, 43, 3)
    assert np.array_equal(degrade(image, clean, 0), bicubic(image, 3))
    for seed in range(4):
        assert degrade(image, Degradation("deblock", 1), seed).shape == (97, 131, 3)


def test_a_moment_of_a_film():
    frames = moved(picture(128, 160), Motion(frames=6, shown=0, dx=2, dy=1))
    for seed in range(8):
        low = degrade_film(frames, 3, Degradation(), seed)
        assert low.shape == (64, 80, 3)
        scores = [psnr_y(low, bicubic(frame), 2) for frame in frames]
        assert int(np.argmax(scores)) == 3


@pytest.mark.parametrize(("task", "scale"), [("sr", 1), ("sr", 5), ("deblock", 2), ("denoise", 4)])
def test_a_task_without_such_a_scale(task, scale):
    with pytest.raises(SettingsError, match=f"no scale {scale}"):
        Degradation(task, scale)


def test_an_image_that_is_too_small():
    with pytest.raises(InputError, match="too small"):
        degrade(picture(15, 200), Degradation(), 0)
