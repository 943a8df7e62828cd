"""Upscaler: its tensor contract, tiles, and running out of memory."""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine import upscaler as module
from lipt_stream.engine.upscaler import Upscaler, pick_device
from lipt_stream.errors import DeviceError, SettingsError, WeightsError
from lipt_stream.model.lipt import MAX_SIDE


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", runtime="torch", precision="float32")


@settings(max_examples=15)
@given(n=st.integers(1, 2), height=st.integers(1, 40), width=st.integers(1, 40))
def test_float_in_float_out(nano: Upscaler, n: int, height: int, width: int) -> None:
    images = torch.rand(n, 3, height, width)
    result = nano(images)
    assert result.shape == (n, 3, 2 * height, 2 * width)
    assert result.dtype == torch.float32


def test_uint8_is_the_rounded_float(nano: Upscaler) -> None:
    images = torch.randint(0, 256, (2, 3, 33, 21), dtype=torch.uint8)
    expected = (nano(images / 255) * 255).round().clamp(0, 255)
    result = nano(images)
    assert result.dtype == torch.uint8
    assert (result.float() - expected).abs().max() <= 1  # a value on the edge of rounding may fall either way
    assert (result.float() != expected).float().mean() < 0.001


def test_float_results_are_not_clamped(nano: Upscaler) -> None:
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 16:] = 1
    result = nano(edge)
    assert result.min() < 0
    assert result.max() > 1


def test_results_are_the_callers_to_change_and_to_compute_with(nano: Upscaler) -> None:
    result = nano(torch.rand(1, 3, 16, 16))
    result.clamp_(0, 1)
    gain = torch.nn.Parameter(torch.ones(1))
    (gain * result).sum().backward()
    assert gain.grad is not None


def test_a_device_without_memory_for_the_network_is_no_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(module, "make_runtime", is_full)
    with pytest.raises(DeviceError, match="Out of memory while loading nano-x2 onto cpu"):
        Upscaler.load("nano-x2", device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", is_full)
    with pytest.raises(DeviceError, match="Out of memory while looking for the GPU"):
        pick_device("auto")


def test_other_float_types_come_back_as_they_were(nano: Upscaler) -> None:
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    assert nano(images).dtype == torch.float64
    assert nano(images.half()).dtype == torch.float16


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)])
def test_wrong_shapes_are_refused(nano: Upscaler, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be \(N, 3, H, W\)"):
        nano(torch.zeros(shape))


def test_wrong_dtypes_are_refused(nano: Upscaler) -> None:
    with pytest.raises(TypeError, match="uint8 or float"):
        nano(torch.zeros(1, 3, 8, 8, dtype=torch.int32))


def test_what_is_no_tensor_is_refused_by_its_name(nano: Upscaler) -> None:
    with pytest.raises(TypeError, match=r"torch\.Tensor, not ndarray"):
        nano(np.zeros((1, 3, 8, 8), np.uint8))  # type: ignore[arg-type]


def smooth(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 9, height), torch.linspace(0, 14, width), indexing="ij")
    return torch.stack([(y * x).sin(), (y + x).cos(), (2 * x).sin() * y.cos()])[None] / 2 + 0.5


def test_tiles_change_nothing_inside_the_frame(nano: Upscaler) -> None:
    least = sum(nano.config.receptive_field) + 2 * nano.config.window
    tiled = Upscaler.load("nano-x2", device="cpu", runtime="torch", precision="float32", tile=least + 16)
    images = smooth(150, 210)
    assert tiled.plan(150, 210).count > 4
    whole, parts = nano(images), tiled(images)
    assert whole.shape == parts.shape
    inner = (slice(None), slice(None), slice(100, -100), slice(100, -100))
    torch.testing.assert_close(parts[inner], whole[inner], atol=1e-5, rtol=0)
    # At the right and bottom edges windows wrap around: in the whole frame to the other side, in a tile to its own.
    assert (parts - whole).square().mean() < 1e-5


def test_a_tile_is_no_longer_than_was_asked_for() -> None:
    plan = Upscaler.load("nano-x2", device="cpu", runtime="torch", tile=512).plan(1080, 1920)
    assert all(span.stop - span.start <= 512 for span in (*plan.rows, *plan.columns))
    assert plan.count < 20


def test_a_tile_without_room_is_refused_before_work() -> None:
    with pytest.raises(SettingsError, match=r"Use --tile \d+ or more"):
        Upscaler.load("tiny-x2", device="cpu", runtime="torch", tile=64)


class Limited:
    """A runtime with room for so many pixels at a time, as a GPU has."""

    name, precision, at_once = "limited", "float32", 1

    def __init__(self, real: Upscaler, max_pixels: int) -> None:
        self._real = real
        self._max_pixels = max_pixels
        self.asked: list[int] = []

    def __call__(self, images: torch.Tensor, at_once: int = 1) -> torch.Tensor:
        del at_once
        pixels = images.shape[0] * images.shape[2] * images.shape[3]
        self.asked.append(pixels)
        if pixels > self._max_pixels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._real.run(images)


def limited(nano: Upscaler, max_pixels: int) -> tuple[Upscaler, Limited]:
    upscaler = Upscaler.load("nano-x2", device="cpu", runtime="torch", precision="float32")
    runtime = Limited(nano, max_pixels)
    upscaler._runtime = runtime
    return upscaler, runtime


def test_out_of_memory_means_the_same_images_in_tiles(nano: Upscaler) -> None:
    upscaler, runtime = limited(nano, 20_000)
    images = smooth(200, 300)
    result = upscaler(images)
    assert runtime.asked[0] == 60_000
    assert result.shape == (1, 3, 400, 600)
    assert (result - nano(images)).square().mean() < 1e-5
    runtime.asked.clear()
    upscaler(images)
    assert max(runtime.asked) <= 20_000, "what was learnt is kept"


def test_a_batch_too_large_for_memory_goes_image_by_image(nano: Upscaler) -> None:
    upscaler, runtime = limited(nano, 20_000)
    images = torch.cat([smooth(100, 150), smooth(100, 150).flip(3), smooth(100, 150).flip(2)])
    result = upscaler(images)
    assert runtime.asked == [45_000, 15_000, 15_000, 15_000]
    torch.testing.assert_close(result, nano(images), atol=1e-5, rtol=0)
    runtime.asked.clear()
    upscaler(images)
    assert runtime.asked == [15_000] * 3, "what was learnt is kept"


def test_calls_that_run_out_of_memory_together_shrink_their_tiles_once(nano: Upscaler) -> None:
    upscaler, runtime = limited(nano, 30_000)
    images, started = smooth(200, 300), threading.Barrier(2)
    real = upscaler._runtime

    class Together(Limited):
        def __call__(self, images: torch.Tensor, at_once: int = 1) -> torch.Tensor:
            if images.shape[2] * images.shape[3] == 60_000:
                started.wait(60)  # both have taken the whole frame before either learns that it is too large
            return real(images, at_once)

    upscaler._runtime = Together(nano, 0)
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(upscaler, [images, images]))
    assert upscaler._max_pixels == 30_000
    assert torch.equal(*results)
    assert max(asked for asked in runtime.asked if asked < 60_000) <= 30_000


def test_what_a_call_left_in_memory_is_let_go_before_the_next_is_tried(nano: Upscaler) -> None:
    upscaler, _ = limited(nano, 10**9)
    left: list[weakref.ref[torch.Tensor]] = []

    class Leaving(Limited):
        def __call__(self, images: torch.Tensor, at_once: int = 1) -> torch.Tensor:
            if not left:
                features = torch.zeros(1000)
                left.append(weakref.ref(features))
                raise torch.OutOfMemoryError("CUDA out of memory")
            assert left[0]() is None
            return super().__call__(images, at_once)

    upscaler._runtime = Leaving(nano, 10**9)
    upscaler(smooth(200, 300))


@pytest.mark.parametrize("shape", [(1, 3, 2, MAX_SIDE + 5), (2, 3, MAX_SIDE + 5, 2)])
def test_a_side_longer_than_the_network_takes_is_cut(nano: Upscaler, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape)
    assert nano(images).shape == (shape[0], 3, 2 * shape[2], 2 * shape[3])


def test_too_little_memory_even_for_a_tile_is_said(nano: Upscaler) -> None:
    upscaler, _ = limited(nano, 100)
    with pytest.raises(DeviceError, match="too little memory for nano-x2, even in tiles"):
        upscaler(smooth(200, 300))


def test_other_errors_are_not_taken_for_memory(nano: Upscaler) -> None:
    upscaler, runtime = limited(nano, 100)

    def broken(*_: object) -> torch.Tensor:
        raise RuntimeError("an illegal instruction")

    upscaler._runtime = broken  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="illegal instruction"):
        upscaler(smooth(20, 30))
    assert not runtime.asked


def test_weights_by_name_scale_and_path(tmp_path: Path) -> None:
    by_name = Upscaler.load("nano", device="cpu", runtime="torch", scale=2)
    by_path = Upscaler.load(module.find_weights("nano-x2-video", 2), device="cpu", runtime="torch")
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(by_name(images), by_path(images))
    with pytest.raises(SettingsError, match="Did you mean nano"):
        Upscaler.load("nanno", device="cpu")
    with pytest.raises(WeightsError, match="No weights file at"):
        Upscaler.load(tmp_path / "none.safetensors", device="cpu")


def test_a_file_that_is_called_as_what_ships_takes_no_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("nano", "nano-x2", "mine"):
        Path(name).write_bytes(b"not weights")
    for name in ("nano", "nano-x2"):
        assert Upscaler.load(name, device="cpu", runtime="torch").info.name.startswith("nano-x2")
    assert module.find_weights("mine", 2) == Path("mine")
    assert module.find_weights("./nano", 2) == Path("nano")


def test_a_name_that_no_file_can_have_is_no_defect() -> None:
    with pytest.raises(WeightsError, match="File name too long"):
        Upscaler.load("x" * 300, device="cpu")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"precision": "fp32"}, "'fp32'. Use auto, float32"),
        ({"runtime": "onnx"}, "'onnx'. Use auto, torch"),
        ({"tile": "huge"}, "'huge'. Use auto or"),
        ({"threads": -1}, "threads is -1"),
    ],
    ids=str,
)
def test_a_word_that_is_none_is_refused(setting: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Upscaler.load("nano-x2", **({"device": torch.device("cpu")} | setting))  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_results_are_contiguous_whatever_came_in() -> None:
    upscaler = Upscaler.load("nano-x2", device=torch.device("cpu"))
    for images in (torch.rand(1, 3, 13, 7), torch.rand(1, 3, 16, 16).to(memory_format=torch.channels_last)):
        assert upscaler(images).is_contiguous()


def test_devices_are_named_plainly() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    for word in ("gpu", "cuda:x", "cpu:0", "mps", ""):
        with pytest.raises(SettingsError, match="Use auto, cpu, cuda or cuda:N"):
            pick_device(word)
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="--device cpu"):
            pick_device("cuda")


@pytest.mark.gpu
def test_gpu_agrees_with_cpu(nano: Upscaler) -> None:
    images = smooth(181, 323)
    exact = nano(images)
    for precision, bound in (("float32", 1e-4), ("float16", 5e-3)):
        gpu = Upscaler.load("nano-x2", device="cuda", precision=precision)  # type: ignore[arg-type]
        result = gpu(images)
        assert result.device.type == "cpu"
        assert (result - exact).abs().max() < bound


@pytest.mark.gpu
def test_gpu_out_of_memory_is_survived() -> None:
    upscaler = Upscaler.load("tiny-x2", device="cuda")
    free, total = torch.cuda.mem_get_info()
    images = smooth(720, 1280)
    whole = upscaler(images)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 300 * 2**20) / total))
    try:
        tiled = upscaler(images)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert upscaler.plan(720, 1280).count > 1, f"300 MB of {free} free bytes should not have been enough"
    assert (whole - tiled).square().mean() < 1e-4
