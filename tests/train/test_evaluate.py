"""The evaluation protocol: baselines at their known figures, metrics against independent computations, bad folders."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import correlate

from lipt_stream.cli.eval import score_all
from lipt_stream.errors import InputError
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.train.evaluate import (
    baselines,
    evaluate,
    image_size,
    list_images,
    luma,
    psnr_y,
    quiet_pillow,
    read_image,
    ssim_y,
)
from lipt_stream.train.imresize import imresize

BENCH = Path(__file__).parents[2].parent / "shared" / "data" / "bench"
# What a right imresize and a right protocol give for bicubic on these very files (the published means are within 0.02).
BICUBIC_PSNR = {
    ("Set5", 2): 33.68,
    ("Set5", 3): 30.41,
    ("Set5", 4): 28.43,
    ("Set14", 2): 30.24,
    ("Set14", 3): 27.54,
    ("Set14", 4): 26.00,
}
RNG = np.random.default_rng(11)


def smooth_image(height=48, width=60):
    """Something with edges and slopes, as images have."""
    y, x = np.mgrid[:height, :width]
    base = 128 + 80 * np.sin(x / 5.0) * np.cos(y / 7.0) + 40 * ((x // 12 + y // 9) % 2)
    return np.clip(base[..., None] + np.array([0, 10, -15]), 0, 255).astype(np.uint8)


def bicubic(scale):
    return lambda image: imresize(image, scale)


@pytest.mark.parametrize(("name", "scale"), BICUBIC_PSNR)
def test_bicubic_lands_on_the_known_figure(name, scale):
    folder = BENCH / name
    if not folder.is_dir():
        pytest.skip(f"no benchmark images at {folder}")
    scores = evaluate(bicubic(scale), folder, scale)
    assert len(scores.images) == int(name.removeprefix("Set"))
    assert scores.psnr_y == pytest.approx(BICUBIC_PSNR[name, scale], abs=0.01)


def test_bicubic_ssim_is_the_published_one():
    if not BENCH.is_dir():
        pytest.skip(f"no benchmark images at {BENCH}")
    assert evaluate(bicubic(2), BENCH / "Set5", 2).ssim_y == pytest.approx(0.9299, abs=0.001)


def test_luma_is_studio_range_bt601():
    colors = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luma(colors)[0], [16, 235, 81.481, 144.553, 40.966])


@settings(max_examples=30, deadline=None)
@given(offset=st.integers(1, 100), border=st.integers(0, 4))
def test_psnr_of_a_known_error(offset, border):
    gray = np.full((20, 20), 100, np.uint8)
    assert psnr_y(gray + np.uint8(offset), gray, border) == pytest.approx(20 * math.log10(255 / offset))
    rgb = np.repeat(gray[..., None], 3, axis=2)
    lifted = psnr_y(rgb + np.uint8(offset), rgb, border)
    assert lifted == pytest.approx(20 * math.log10(255 / (offset * 219 / 255)))


def test_the_border_is_not_counted():
    image = smooth_image()
    spoiled = image.copy()
    spoiled[:2] = spoiled[-2:] = 0
    spoiled[:, :2] = spoiled[:, -2:] = 0
    assert psnr_y(spoiled, image, border=2) == math.inf
    assert ssim_y(spoiled, image, border=2) == pytest.approx(1)
    assert psnr_y(spoiled, image, border=1) < 30


def ssim_by_scipy(x, y):
    """Wang et al.'s formula once more, with a 2-D window and scipy's correlation."""
    axis = np.arange(-5, 6)
    window = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(plane):
        return correlate(plane, window, mode="constant")[5:-5, 5:-5]

    mx, my = mean(x), mean(y)
    sxx, syy, sxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 6.5025, 58.5225
    return (((2 * mx * my + c1) * (2 * sxy + c2)) / ((mx**2 + my**2 + c1) * (sxx + syy + c2))).mean()


@pytest.mark.parametrize("noise", [0, 3, 25, 120])
def test_ssim_agrees_with_an_independent_computation(noise):
    image = smooth_image()
    noisy = np.clip(image + RNG.normal(0, noise, image.shape), 0, 255).astype(np.uint8)
    expected = ssim_by_scipy(luma(noisy)[3:-3, 3:-3], luma(image)[3:-3, 3:-3])
    assert ssim_y(noisy, image, border=3) == pytest.approx(expected, abs=1e-10)


def test_each_image_and_the_mean_are_reported(tmp_path):
    for name in ("b.png", "a.png"):
        Image.fromarray(smooth_image(50, 61)).save(tmp_path / name)
    seen = []

    def upscale(image):
        seen.append(image.shape)
        return imresize(image, 3)

    scores = evaluate(upscale, tmp_path, 3)
    assert seen == [(16, 20, 3)] * 2  # 50x61 cropped to 48x60
    assert [image.name for image in scores.images] == ["a.png", "b.png"]
    assert scores.psnr_y == pytest.approx(np.mean([image.psnr_y for image in scores.images]))
    assert scores.ssim_y == pytest.approx(np.mean([image.ssim_y for image in scores.images]))


def test_gray_is_given_as_rgb_and_compared_as_it_is(tmp_path):
    gray = smooth_image()[:, :, 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    (score,) = evaluate(bicubic(2), tmp_path, 2).images
    enlarged = imresize(imresize(gray, 0.5), 2)
    assert score.psnr_y == pytest.approx(psnr_y(enlarged, gray, 2))
    as_luma = psnr_y(np.dstack([enlarged] * 3), np.dstack([gray] * 3), 2)
    assert as_luma - score.psnr_y == pytest.approx(20 * math.log10(255 / 219))  # the 1.3 dB that Y would flatter by


def test_both_baselines_are_computed(tmp_path):
    Image.fromarray(smooth_image()).save(tmp_path / "one.png")
    scores = baselines(tmp_path, 2)
    assert set(scores) == {"bicubic", "lanczos"}
    assert scores["bicubic"].psnr_y == evaluate(bicubic(2), tmp_path, 2).psnr_y
    assert scores["lanczos"] == evaluate(lambda image: imresize(image, 2, "lanczos3"), tmp_path, 2)
    assert scores["lanczos"].psnr_y != scores["bicubic"].psnr_y


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".JPG"])
def test_every_format_is_read(tmp_path, suffix):
    image = smooth_image()
    path = tmp_path / f"image{suffix}"
    Image.fromarray(image).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    if suffix == ".JPG":
        assert psnr_y(read_image(path), image, 0) > 28
    else:
        assert np.array_equal(read_image(path), image)


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_other_colour_models_become_rgb(tmp_path, mode):
    path = tmp_path / "image.tif"
    Image.fromarray(smooth_image()).convert(mode).save(path)
    assert read_image(path).shape == (48, 60, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_models_become_one_plane(tmp_path, mode):
    path = tmp_path / "image.png"
    Image.fromarray(smooth_image()).convert("L").convert(mode).save(path)
    assert read_image(path).shape == (48, 60)


def test_a_folder_without_images_is_an_input_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(InputError, match=r"holds no image\. Known suffixes"):
        evaluate(bicubic(2), tmp_path, 2)
    (tmp_path / "Set5").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "Set5" / "one.png")
    with pytest.raises(InputError, match=r"holds no image\. Name a folder in it \(Set5\), or add --all"):
        evaluate(bicubic(2), tmp_path, 2)
    with pytest.raises(InputError, match="not a folder"):
        evaluate(bicubic(2), tmp_path / "missing", 2)


def test_a_folder_that_cannot_be_read_is_an_input_error(tmp_path):
    for look in (lambda folder: evaluate(bicubic(2), folder, 2), lambda folder: score_all(folder, PipelineSpec())):
        with pytest.raises(InputError, match=r"cannot be read: File name too long\. Check the path"):
            look(tmp_path / ("long" * 100))


@pytest.mark.parametrize("damage", ["text", "truncated", "deep", "tiny"])
def test_an_unusable_image_is_named(tmp_path, damage):
    path = tmp_path / ("bad.tif" if damage == "deep" else "bad.png")
    Image.fromarray(smooth_image()).save(path)
    if damage == "text":
        path.write_text("this is not an image")
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "deep":
        Image.fromarray(np.full((40, 40), 0.4, np.float32)).save(path)
    else:
        Image.fromarray(smooth_image(14, 40)).save(path)
    with pytest.raises(InputError, match=r"bad\.(png|tif)"):
        evaluate(bicubic(2), tmp_path, 2)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match=r"pipe\.png is not a regular file"):
        evaluate(bicubic(2), tmp_path, 2)


def test_whatever_a_plug_in_raises_the_file_is_named(tmp_path):
    path = tmp_path / "texture.png"
    Image.fromarray(smooth_image()).save(path, "DDS")
    content = bytearray(path.read_bytes())
    content[80:84] = bytes(4)  # the flags of its pixels' format: none
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"texture\.png cannot be read as an image: Unknown pixel format flags 0"):
        read_image(path)
    assert image_size(path) == (0, 0)


@pytest.mark.parametrize(("scale", "least"), [(2, 16), (3, 18), (4, 20)])
def test_the_least_size_that_is_named_is_enough(tmp_path, scale, least):
    path = tmp_path / "small.png"
    Image.fromarray(smooth_image(least - 1, 40)).save(path)
    with pytest.raises(InputError, match=rf"It takes {least}x{least} pixels"):
        evaluate(bicubic(scale), tmp_path, scale)
    Image.fromarray(smooth_image(least, least)).save(path)
    assert evaluate(bicubic(scale), tmp_path, scale).psnr_y > 20


def test_gray_of_16_bits_is_read_as_8(tmp_path):
    levels = np.array([[0, 128, 129, 257 * 40, 65_535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert read_image(tmp_path / "deep.png").tolist() == [[0, 0, 1, 40, 255]]
    Image.fromarray(levels).save(tmp_path / "deep.tif")  # may be of 12 bits, or have white at 0
    with pytest.raises(InputError, match="more than 8 bits"):
        read_image(tmp_path / "deep.tif")


def test_a_result_of_another_size_is_refused(tmp_path):
    Image.fromarray(smooth_image()).save(tmp_path / "one.png")
    with pytest.raises(ValueError, match="upscale returned"):
        evaluate(bicubic(3), tmp_path, 2)


def test_pillow_warns_no_user_of_metadata_that_is_not_used(tmp_path):
    whole = Image.Exif()
    whole[271] = "a camera's name that is no longer there"
    Image.fromarray(smooth_image()).save(tmp_path / "a.jpg", exif=whole.tobytes()[:-30])
    with pytest.warns(UserWarning, match="Skipping tag 271"):
        read_image(tmp_path / "a.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quiet_pillow()
        read_image(tmp_path / "a.jpg")


def test_what_a_mac_leaves_beside_an_image_is_none(tmp_path):
    saved = tmp_path / "a.png"
    Image.new("L", (8, 8)).save(saved)
    (tmp_path / "._a.png").write_bytes(b"\x00\x05\x16\x07")
    assert list_images(tmp_path) == [saved]


def test_an_image_too_large_for_the_memory_is_named(tmp_path):
    Image.new("L", (64, 64)).save(tmp_path / "large.png")

    def upscale(_):
        raise MemoryError

    with pytest.raises(InputError, match=r"large\.png is too large for the memory that is free"):
        evaluate(upscale, tmp_path, 2)
