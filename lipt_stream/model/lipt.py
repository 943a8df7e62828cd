"""LIPT, the Latency-aware Image Processing Transformer (arXiv 2404.06075, IEEE TIP 2025), whole.

    image -> - mean -> head 3x3 -> blocks -> + head's output -> tail 3x3 -> pixel shuffle -> + mean

A block is `1 + shared` units; a unit adds to x, in turn: HRM_a(x), HRM_c(x), attention(x), HRM_b(x). The first unit of
a block computes the attention maps of its windows, the shared ones use them again. Blocks alternate plain and shifted
windows. Letters in shapes: N images, C channels, H and W padded size, p the window, h = H/p and w = W/p windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipt_stream.model.attention import Attention, Queries, Sampling, is_traced, sparse_sampling
from lipt_stream.model.autocast import without_autocast
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.repconv import ConvNorm, LinearBranches, RepConv

MEAN: Final = (0.4488, 0.4371, 0.4040)
"""The mean colour of the training images, RGB in 0..1, as the paper's implementation has it."""

MAX_SIDE: Final = 16_384
"""The longest padded side, in pixels, that the sampling permutation is precomputed for."""


def deploy(model: LIPT) -> LIPT:
    """A new network of plain 3x3 and 1x1 convolutions that computes what `model` does in evaluation mode.

    Same device and dtype, in evaluation mode; `model` is not touched, and shares no memory with the result.
    """
    plain = LIPT(model.config, deployed=True).to(model.head.weight)
    trained = model.state_dict()
    state: dict[str, Tensor] = {}
    for name, _ in cast("Iterator[tuple[str, nn.Module]]", plain.named_modules()):
        if f"{name}.weight" in trained:
            state |= {f"{name}.weight": trained[f"{name}.weight"], f"{name}.bias": trained[f"{name}.bias"]}
        elif isinstance(branches := model.get_submodule(name), (RepConv, LinearBranches, ConvNorm)):
            state[f"{name}.weight"], state[f"{name}.bias"] = branches.affine()
    plain.load_state_dict(state)
    return plain.eval()


Square: TypeAlias = nn.Conv2d | RepConv | LinearBranches
"""A 3x3 convolution as it ships, as the paper trains it, and as `train` does."""


class HRM(nn.Module):
    """High-resolution module: two 3x3 convolutions with a ReLU between. (N, C, H, W) -> the same."""

    def __init__(self, channels: int, *, deployed: bool) -> None:
        super().__init__()
        self.conv0: Square = nn.Conv2d(channels, channels, 3, padding=1) if deployed else RepConv(channels)
        self.conv1: Square = nn.Conv2d(channels, channels, 3, padding=1) if deployed else RepConv(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1(F.relu(self.conv0(x), inplace=True))


class Unit(nn.Module):
    """Four residual steps: HRM_a, HRM_c, attention, HRM_b. (N, C, H, W) -> the same, and the block's queries.

    In plain inference the steps are added in place: the input is consumed.
    """

    def __init__(self, config: LiptConfig, *, shared: bool, shift: int, deployed: bool) -> None:
        super().__init__()
        self.shift = shift
        self.hrm_a = HRM(config.channels, deployed=deployed)
        self.hrm_c = HRM(config.channels, deployed=deployed)
        self.attention = Attention(config, shared=shared, deployed=deployed)
        self.hrm_b = HRM(config.channels, deployed=deployed)

    def forward(self, x: Tensor, sampling: Sampling, queries: Queries | None) -> tuple[Tensor, Queries]:
        x = _add(x, self.hrm_a(x))
        x = _add(x, self.hrm_c(x))
        # Shifted windows wrap around, without a mask. The 1x1 convolutions commute with the roll.
        y = x.roll((-self.shift, -self.shift), (2, 3)) if self.shift else x
        y, maps = cast("tuple[Tensor, Queries]", self.attention(y, sampling, queries))
        x = _add(x, y.roll((self.shift, self.shift), (2, 3)) if self.shift else y)
        return _add(x, self.hrm_b(x)), maps


def _add(x: Tensor, step: Tensor) -> Tensor:
    """A residual step: in the memory of x where no gradient needs what was there."""
    return x.add_(step) if _is_plain_inference() else x + step


def _is_plain_inference() -> bool:
    """Whether this runs eagerly and without gradients: memory may be reused, and no trace would unroll a loop."""
    return not is_traced() and not torch.is_grad_enabled()


class Block(nn.Module):
    """One unit that makes attention maps, and `shared` units that use them again. (N, C, H, W) -> the same."""

    def __init__(self, config: LiptConfig, *, shift: int, deployed: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            Unit(config, shared=index > 0, shift=shift, deployed=deployed) for index in range(1 + config.shared)
        )

    def forward(self, x: Tensor, sampling: Sampling) -> Tensor:
        queries: Queries | None = None
        for unit in self.units:
            x, queries = unit(x, sampling, queries)
        return x


class LIPT(nn.Module):
    """The network. (N, 3, H, W) RGB in 0..1, any H and W from 1 up -> (N, 3, scale H, scale W), not clamped.

    Any floating dtype in; out comes float32 (float64 from a float64 network), contiguous: in a half precision network
    the input's centring, the last residual sum, the tail and the mean's addition are still done in float32, which
    costs little and saves most of what rounding takes away. Weights keep the dtype that `.to()` gives them. Autocast
    stays within the blocks: the head, all residual sums and the tail are done in float32.

    H and W are padded at the right and bottom to a multiple of the window by reflection, which repeats where the image
    is smaller than its padding (numpy.pad's rule; a single row or column is simply repeated), and cropped back.
    ValueError where a padded side exceeds MAX_SIDE.
    """

    mean: Tensor
    sampling: Tensor

    def __init__(self, config: LiptConfig, *, deployed: bool) -> None:
        super().__init__()
        self.config = config
        self.deployed = deployed
        self.head = nn.Conv2d(3, config.channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            Block(config, shift=index % 2 * config.window // 2, deployed=deployed) for index in range(config.blocks)
        )
        self.tail = nn.Conv2d(config.channels, 3 * config.scale**2, 3, padding=1)
        # Integers, which `.to(dtype)` leaves alone: a mean rounded to bfloat16 would tint the picture.
        mean = torch.tensor([round(value * 10_000) for value in MEAN]).reshape(3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("sampling", sparse_sampling(config.window, MAX_SIDE), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        dtype = self.head.weight.dtype
        exact = torch.promote_types(dtype, torch.float32)
        mean = self.mean.to(exact) / 10_000
        x = pad_by_reflection(image.to(exact) - mean, self.config.window)  # (N, 3, H, W)
        sampling = Sampling(self._sampled(x.shape[-2]), self._sampled(x.shape[-1]))
        with without_autocast(image.device):  # the residual sums then keep this dtype too
            x = self.head(x.to(dtype).contiguous(memory_format=torch.channels_last))  # (N, C, H, W)
        y = x.clone()
        for block in self.blocks:
            y = block(y, sampling)
        y = y.to(exact) + x
        tail_bias = None if self.tail.bias is None else self.tail.bias.to(exact)
        with without_autocast(image.device):
            y = F.conv2d(y, self.tail.weight.to(exact), tail_bias, padding=1)  # (N, 3 scale^2, H, W)
        s = self.config.scale  # pixel shuffle, straight into contiguous memory: F.pixel_shuffle keeps channels last
        y = y[..., :height, :width].reshape(-1, 3, s, s, height, width).permute(0, 1, 4, 2, 5, 3)
        return y.reshape(-1, 3, s * height, s * width).contiguous() + mean

    def _sampled(self, side: int) -> Tensor:
        if side > MAX_SIDE:
            raise ValueError(f"a side of {side} pixels exceeds {MAX_SIDE}: cut the image into tiles")
        return self.sampling[:side] % side  # the last window's enlargement wraps to the start


def pad_by_reflection(x: Tensor, multiple: int) -> Tensor:
    """(N, C, H, W) padded at the right and bottom to multiples, by reflection that repeats where it must."""
    height, width = x.shape[-2:]
    if height % multiple:
        x = x.index_select(2, _reflected(height, multiple, x.device))
    if width % multiple:
        x = x.index_select(3, _reflected(width, multiple, x.device))
    return x


def _reflected(size: int, multiple: int, device: torch.device) -> Tensor:
    """0, 1, ..., size-1, size-2, ..., 1, 0, 1, ... up to the next multiple."""
    index = torch.arange((size + multiple - 1) // multiple * multiple, device=device)
    period = 2 * max(size - 1, 1)  # of a single row there is no period: every index is clamped to it
    index = index % period
    return torch.minimum(index, period - index).clamp(max=size - 1)
