"""Batches made on the device: LR by the bicubic of `eval`, crops and turns as numpy does them, pairs in one place."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.train.batches import BicubicBatches, PairedBatches, shrink
from lipt_stream.train.evaluate import find_images, read_image
from lipt_stream.train.images import Crops, PackedImages
from lipt_stream.train.imresize import imresize
from lipt_stream.train.validation import bicubic_middles, bicubic_pairs, centre

CPU = torch.device("cpu")
RNG = np.random.default_rng(4)


def images(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def planes(image: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(image.copy()).permute(2, 0, 1)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.square(one.astype(float) - other).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_shrinking_on_the_device_is_that_of_eval(shared: Path, scale: int) -> None:
    scores = []
    for path in find_images(shared / "data" / "valid")[:6]:
        image = read_image(path)
        image = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
        ours = shrink(planes(image)[None].float(), scale)[0].permute(1, 2, 0).numpy()
        scores.append(psnr(ours, imresize(image, Fraction(1, scale))))
    print(f"x{scale}: {min(scores):.1f} dB at least between shrink and imresize")  # noqa: T201
    assert min(scores) > 90


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_shrinking_noise_is_that_of_eval(scale: int) -> None:
    (image,) = images((12 * scale, 20 * scale))
    ours = shrink(planes(image)[None].float(), scale)[0].permute(1, 2, 0).numpy()
    assert psnr(ours, imresize(image, Fraction(1, scale))) > 60


@settings(max_examples=40)
@given(data=st.data(), side=st.integers(1, 9), turn=st.integers(0, 7))
def test_a_crop_is_numpys_crop_turned(data: st.DataObject, side: int, turn: int) -> None:
    stored = images((9, 13), (17, 9), (10, 10))
    number = data.draw(st.integers(0, 2))
    height, width = stored[number].shape[:2]
    top, left = data.draw(st.integers(0, height - side)), data.draw(st.integers(0, width - side))
    crops = Crops(*(torch.tensor([value]) for value in (number, top, left, turn)))
    expected = stored[number][top : top + side, left : left + side]
    if turn & 4:
        expected = expected[:, ::-1]
    if turn & 2:
        expected = expected[::-1]
    if turn & 1:
        expected = expected.swapaxes(0, 1)
    (found,) = PackedImages(list(stored), CPU).cut(crops, side)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_the_turns_are_the_eight_of_the_square() -> None:
    packed = PackedImages(images((5, 5)), CPU)
    here = torch.zeros(8, dtype=torch.int64)
    found = packed.cut(Crops(here, here, here, torch.arange(8)), 5)
    assert len({crop.numpy().tobytes() for crop in found}) == 8


def test_draws_reach_every_place_and_no_other() -> None:
    """Corners included, and nothing of the neighbour in the buffer."""
    stored = [np.full((4, 6, 3), 10, np.uint8), np.full((7, 4, 3), 200, np.uint8)]
    packed = PackedImages(list(stored), CPU)
    crops = packed.draw(4000, 4, seeded())
    places = set(zip(crops.image.tolist(), crops.top.tolist(), crops.left.tolist(), strict=True))
    assert places == {(0, 0, left) for left in range(3)} | {(1, top, 0) for top in range(4)}
    assert set(crops.turn.tolist()) == set(range(8))
    share = (crops.image == 1).double().mean().item()
    assert share == pytest.approx(28 / 52, abs=0.05)  # by area
    for image, crop in zip(crops.image.tolist(), packed.cut(crops, 4), strict=True):
        assert (crop == stored[image][0, 0, 0]).all()


@settings(max_examples=30, deadline=None)
@given(height=st.integers(12, 90), width=st.integers(12, 90), side=st.integers(1, 12), scale=st.sampled_from((2, 3, 4)))
def test_the_middle_of_a_picture_is_shrunk_as_the_whole_is(height: int, width: int, side: int, scale: int) -> None:
    image = images((height, width))
    (whole,) = bicubic_pairs(image, scale)
    expected, (found,) = centre(whole, side, scale), bicubic_middles(image, side, scale)
    assert np.array_equal(found.low, expected.low)
    assert np.array_equal(found.high, expected.high)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_batchs_lr_is_the_bicubic_of_the_whole_image(scale: int) -> None:
    """A single image, as large as a crop needs: what is cut is then known, save for the turn."""
    patch = 8
    side = BicubicBatches.least_side(patch, scale)
    (image,) = images((side, side))
    low, high = BicubicBatches(PackedImages([image], CPU), scale).draw(16, patch, seeded())
    assert low.shape == (16, 3, patch, patch)
    assert high.shape == (16, 3, patch * scale, patch * scale)
    assert low.dtype == high.dtype == torch.float32
    exact = imresize(image, Fraction(1, scale))[2:-2, 2:-2]
    inner = image[2 * scale : -2 * scale, 2 * scale : -2 * scale]
    turned = {turn: orientation(exact, turn) for turn in range(8)}
    for small, large in zip((low * 255).round().byte(), (high * 255).round().byte(), strict=True):
        pixels = small.permute(1, 2, 0).numpy()
        turn = max(turned, key=lambda turn, pixels=pixels: psnr(turned[turn], pixels))
        assert psnr(turned[turn], pixels) > 50  # a value near a half may round otherwise: one of 192 is 51 dB
        assert np.array_equal(large.permute(1, 2, 0).numpy(), orientation(inner, turn))


def orientation(image: np.ndarray, turn: int) -> np.ndarray:
    image = image[:, ::-1] if turn & 4 else image
    image = image[::-1] if turn & 2 else image
    return image.swapaxes(0, 1) if turn & 1 else image


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_pairs_are_cut_in_one_place(scale: int) -> None:
    lows = images((11, 9), (8, 14))
    highs = [low.repeat(scale, axis=0).repeat(scale, axis=1) for low in lows]
    batches = PairedBatches(PackedImages(list(highs), CPU), PackedImages(list(lows), CPU), scale)
    low, high = batches.draw(50, 8, seeded())
    assert torch.equal(low.repeat_interleave(scale, 2).repeat_interleave(scale, 3), high)


def test_pairs_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="2 times as large"):
        PairedBatches(PackedImages(images((9, 8)), CPU), PackedImages(images((4, 4)), CPU), 2)


def test_the_generator_decides_the_batch() -> None:
    batches = BicubicBatches(PackedImages(images((60, 70)), CPU), 2)
    first, again, other = (batches.draw(4, 8, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.low, again.low)
    assert torch.equal(first.high, again.high)
    assert not torch.equal(first.low, other.low)
