"""The network: sizes, sampling, attention against a literal reading of the paper, precision, reach, and tracing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.model import attention, catalog
from lipt_stream.model.attention import Attention, Sampling, attend, sparse_sampling
from lipt_stream.model.config import NAMES, LiptConfig, Scale
from lipt_stream.model.lipt import LIPT, MAX_SIDE, MEAN, pad_by_reflection
from lipt_stream.model.weights import load_weights
from lipt_stream.train.start import branch_out

SMALL = LiptConfig(scale=2, channels=4, units=4, shared=1, window=8)  # two blocks: one plain, one shifted


def network(config: LiptConfig = SMALL, seed: int = 0) -> LIPT:
    torch.manual_seed(seed)
    return LIPT(config, deployed=True).eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_named_configs_have_whole_blocks(name: str, scale: Scale) -> None:
    config = LiptConfig.named(name, scale)
    assert config.scale == scale
    assert config.blocks * (1 + config.shared) == config.units


@pytest.mark.parametrize(("name", "parameters"), [("nano", 31_388), ("tiny", 353_132), ("tiny24", 265_260)])
def test_deployed_networks_have_the_stated_size(name: str, parameters: int) -> None:
    assert sum(p.numel() for p in LIPT(LiptConfig.named(name, 2), deployed=True).parameters()) == parameters


def test_small_has_the_papers_depth() -> None:
    assert [LiptConfig.named("small", scale).units for scale in (1, 2, 3, 4)] == [10, 10, 12, 12]
    with torch.device("meta"):
        assert sum(p.numel() for p in LIPT(LiptConfig.named("small", 2), deployed=True).parameters()) == 2_328_396


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"scale": 5}, "scale"),
        ({"channels": 7}, "channels"),
        ({"units": 3}, "units"),
        ({"shared": -1}, "shared"),
        ({"window": 7}, "window"),
        ({"window": 66}, "window"),
    ],
)
def test_impossible_configs_are_refused(change: dict[str, int], told: str) -> None:
    fields = {"scale": 2, "channels": 16, "units": 2, "shared": 1, "window": 8} | change
    with pytest.raises(ValueError, match=told):
        LiptConfig(**fields)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="nano, tiny"):
        LiptConfig.named("huge", 2)


@settings(max_examples=40)
@given(
    height=st.integers(1, 40),
    width=st.sampled_from([1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 31, 37, 61]),
    batch=st.integers(1, 2),
    scale=st.sampled_from([1, 2, 3, 4]),
)
def test_output_is_exactly_scale_times_the_input(height: int, width: int, batch: int, scale: Scale) -> None:
    model = network(LiptConfig(scale=scale, channels=4, units=4, shared=1, window=8))
    with torch.inference_mode():
        y = model(torch.rand(batch, 3, height, width))
    assert y.shape == (batch, 3, scale * height, scale * width)
    assert y.is_contiguous()
    assert y.isfinite().all()


def test_8k_has_its_shape_without_being_computed() -> None:
    with torch.device("meta"):
        y = LIPT(LiptConfig.named("tiny", 2), deployed=True)(torch.rand(1, 3, 4320, 7680))
    assert y.shape == (1, 3, 8640, 15360)


@pytest.mark.parametrize("side", [4320, 7680])
def test_8k_sides_are_sampled_exactly_once(side: int) -> None:
    sampled = network()._sampled(side)
    assert torch.equal(sampled.sort().values, torch.arange(side))


def test_a_side_beyond_the_precomputed_permutation_is_refused() -> None:
    with pytest.raises(ValueError, match="tiles"), torch.device("meta"):
        LIPT(SMALL, deployed=True)(torch.rand(1, 3, 8, MAX_SIDE + 1))


def test_sampling_is_the_documented_one() -> None:
    assert sparse_sampling(8, 16).tolist() == [0, 2, 4, 6, 9, 11, 13, 15, 8, 10, 12, 14, 17, 19, 21, 23]


@given(window=st.integers(1, 12).map(lambda n: 2 * n), windows=st.integers(1, 40))
def test_sampling_is_a_permutation(window: int, windows: int) -> None:
    side = window * windows
    assert sorted((sparse_sampling(window, side) % side).tolist()) == list(range(side))


@given(height=st.integers(1, 40), width=st.integers(1, 40), window=st.sampled_from([2, 8, 16]))
def test_padding_is_numpys_reflection(height: int, width: int, window: int) -> None:
    x = np.arange(height * width, dtype=np.float32).reshape(height, width)
    expected = np.pad(x, ((0, -height % window), (0, -width % window)), mode="reflect")
    assert np.array_equal(pad_by_reflection(torch.from_numpy(x)[None, None], window)[0, 0].numpy(), expected)


def literal_attention(
    first: Attention, second: Attention, x: torch.Tensor, shift: int, *, scattered: bool, sampled_values: bool
) -> list[torch.Tensor]:
    """NVSM-SA of a first and a shared unit on the same x (C, H, W), window by window, as the reference is described."""
    p = first.window
    channels, height, width = x.shape
    half = channels // 2

    def windows(plane: torch.Tensor, top: int, left: int, *, sparse: bool) -> torch.Tensor:
        """The (p p, c) tokens of one window of (c, H, W)."""
        return torch.stack([plane[:, y, x] for y, x in places(top, left, sparse=sparse)])

    def places(top: int, left: int, *, sparse: bool) -> list[tuple[int, int]]:
        offsets = [2 * i if i < p // 2 else p + 2 * (i - p // 2) + 1 for i in range(p)] if sparse else list(range(p))
        return [((top + i) % height, (left + j) % width) for i in offsets for j in offsets]

    results: list[torch.Tensor] = []
    maps: dict[tuple[int, int, int], torch.Tensor] = {}
    for unit in (first, second):
        projected = unit.project_in(x[None])[0].roll((-shift, -shift), (1, 2))
        mixed = torch.empty_like(x)
        for part in (0, 1):
            own = projected.chunk(2)[part]
            for top in range(0, height, p):
                for left in range(0, width, p):
                    if unit is first:
                        tokens = windows(own, top, left, sparse=part == 1)
                        q, v = tokens[:, :half], tokens[:, half:]
                        maps[part, top, left] = (q @ q.T).softmax(-1)
                    else:
                        v = windows(own, top, left, sparse=sampled_values and part == 1)
                    y = maps[part, top, left] @ v
                    where = places(top, left, sparse=scattered and part == 1)
                    for token, (row, column) in zip(y, where, strict=True):
                        mixed[part * half : (part + 1) * half, row, column] = token
        results.append(unit.project_out(mixed.roll((shift, shift), (1, 2))[None]))
    return results


@pytest.mark.parametrize(
    ("window", "shifted", "scattered", "sampled_values"),
    [
        (4, False, False, False),
        (8, False, False, False),
        (8, True, False, False),
        (4, True, True, False),
        (4, True, False, True),
        (4, False, True, True),
    ],
)
@pytest.mark.parametrize("grad", [False, True], ids=["eager", "with-gradient"])
def test_attention_is_what_the_paper_describes_or_its_stated_variant(
    window: int, shifted: bool, grad: bool, scattered: bool, sampled_values: bool
) -> None:
    torch.manual_seed(1)
    config = LiptConfig(2, 8, 2, 1, window, scattered=scattered, sampled_values=sampled_values)
    first = Attention(config, shared=False, deployed=True).double()
    second = Attention(config, shared=True, deployed=True).double()
    for weight in (first.project_in.weight, second.project_in.weight):
        weight.data.mul_(4)  # maps far from uniform
    shift = window // 2 if shifted else 0
    x = torch.randn(8, 3 * window, 2 * window, dtype=torch.float64)
    sampling = Sampling(*(sparse_sampling(window, side) % side for side in x.shape[1:]))
    with torch.set_grad_enabled(grad):  # without gradients a CPU takes the bands of windows, with them the fused kernel
        rolled = x[None].roll((-shift, -shift), (2, 3))
        y_first, queries = first(rolled, sampling, None)
        y_second, _ = second(rolled, sampling, queries)
    expected = literal_attention(first, second, x, shift, scattered=scattered, sampled_values=sampled_values)
    for y, literal in zip((y_first, y_second), expected, strict=True):
        torch.testing.assert_close(y.roll((shift, shift), (2, 3)), literal, atol=1e-12, rtol=0)


def test_attention_is_cut_in_bands_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network(), torch.rand(2, 3, 45, 70)
    with torch.inference_mode():
        whole = model(x)
        monkeypatch.setattr(attention, "MAP_NUMBERS", 1)  # one row of windows at a time
        torch.testing.assert_close(model(x), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(model(x), whole, atol=1e-5, rtol=0)  # the fused kernel


def test_autocast_stays_within_the_blocks() -> None:
    path = catalog.path_of(catalog.find("nano", 2))
    model = load_weights(path)[0]
    torch.manual_seed(0)
    x = F.interpolate(torch.rand(1, 3, 6, 8), size=(48, 64), mode="bicubic").clamp(0, 1)
    exact = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = model(x)
    assert trained.dtype == torch.float32
    assert F.mse_loss(trained, exact).sqrt() < 0.1 / 255  # of the whole network 0.3: more than many errors it learns by


@pytest.mark.parametrize(
    "run", [attend, torch.compile(attend, backend="eager", dynamic=False)], ids=["eager", "traced"]
)
def test_training_in_bfloat16_rounds_what_attention_takes_and_gives_and_nothing_between(run: Any) -> None:
    torch.manual_seed(0)
    q, v, upstream = (torch.randn(2, 3, 64, 16, dtype=torch.bfloat16) for _ in range(3))
    exact = [x.double().requires_grad_() for x in (q, v)]
    wanted = F.scaled_dot_product_attention(exact[0], exact[0], exact[1], scale=1.0)
    wanted.backward(upstream.double())
    rounded = [x.clone().requires_grad_() for x in (q, v)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = run(rounded[0], rounded[1])
    y.backward(upstream)
    assert y.dtype == torch.bfloat16
    for ours, theirs in ((y, wanted), *((a.grad, b.grad) for a, b in zip(rounded, exact, strict=True))):
        assert ours is not None
        assert theirs is not None
        error = (ours.double() - theirs).norm() / theirs.norm()
        assert error < 2**-8  # half a step of bfloat16; its own kernel is four times as far off


VARIANTS = [
    LiptConfig(2, 4, 4, 1, 4, scattered=a, sampled_values=b) for a, b in ((True, False), (False, True), (True, True))
]


@pytest.mark.parametrize("config", [LiptConfig.named("nano", 2), SMALL, LiptConfig(1, 4, 2, 0, 4), *VARIANTS], ids=str)
def test_no_pixel_reaches_further_than_stated(config: LiptConfig) -> None:
    model = network(config).double()
    near, far = config.receptive_field
    side = -(-(near + far + 40) // config.window) * config.window
    position = near + 17  # far enough from all borders that nothing wraps
    x = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    low = config.scale * position
    (gradient,) = torch.autograd.grad(model(x)[..., low : low + config.scale, low : low + config.scale].sum(), x)
    for axis in (2, 3):
        reached = gradient.abs().sum([a for a in range(4) if a != axis]).nonzero().flatten()
        assert position - near <= reached.min()
        assert reached.max() <= position + far


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_the_picture_and_gives_float32(dtype: torch.dtype) -> None:
    path = catalog.path_of(catalog.find("nano", 2))  # trained: random weights have no picture to keep
    model, x = load_weights(path)[0], torch.rand(1, 3, 6, 8)
    x = F.interpolate(x, size=(48, 61), mode="bicubic").clamp(0, 1)
    with torch.inference_mode():
        exact = model(x)
        rounded = model.to(dtype)(x)
    assert rounded.dtype == torch.float32
    assert F.mse_loss(rounded, exact).sqrt() < 0.5 / 255  # within the rounding to 8 bits that follows


def test_a_network_that_predicts_nothing_returns_the_exact_mean_in_any_precision() -> None:
    model = network()
    torch.nn.init.zeros_(model.tail.weight)
    torch.nn.init.zeros_(model.tail.bias)
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        y = model.to(dtype)(torch.rand(1, 3, 3, 3))
        assert y[0, :, 0, 0].tolist() == pytest.approx(MEAN, abs=1e-7)


def test_a_batch_is_its_images() -> None:
    x = torch.rand(3, 3, 11, 20)
    with torch.inference_mode():
        model = network()
        torch.testing.assert_close(model(x), torch.cat([model(image[None]) for image in x]), atol=1e-6, rtol=0)


def test_buffers_are_not_saved() -> None:
    assert {name for name, _ in network().named_buffers()} == {"mean", "sampling"}
    assert not {"mean", "sampling"} & network().state_dict().keys()


def test_one_graph_without_breaks() -> None:
    model, x = network(), torch.rand(1, 3, 19, 26)
    with torch.inference_mode():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), model(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("branches", "backend"), [(False, "aot_eager"), (True, "eager")])
def test_training_under_autocast_is_one_graph_too(branches: bool, backend: str) -> None:
    """With branches by dynamo alone: tracing their gradients as well takes most of a minute."""
    model, x = network(dataclasses.replace(SMALL, units=2)), torch.rand(1, 3, 16, 24)
    trained = branch_out(model) if branches else model
    with torch.autocast("cpu", dtype=torch.bfloat16):
        compiled = torch.compile(trained, backend=backend, fullgraph=True)
        torch.testing.assert_close(compiled(x), trained(x), atol=1e-2, rtol=0)


def test_exports_at_a_fixed_size() -> None:
    model, x = network(), torch.rand(1, 3, 19, 26)
    with torch.inference_mode():
        exported = torch.export.export(model, (x,)).module()
        torch.testing.assert_close(exported(x), model(x), atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_openvino_converts_it() -> None:
    openvino = pytest.importorskip("openvino")
    model, x = network(), torch.rand(1, 3, 19, 26)
    with torch.inference_mode():
        expected = model(x).numpy()
    converted = openvino.convert_model(model, example_input=x, input=[1, 3, 19, 26])
    compiled = openvino.compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    np.testing.assert_allclose(compiled(x.numpy())[0], expected, atol=1e-4)
