"""LIPT, the Latency-aware Image Processing Transformer (arXiv 2404.06075, IEEE TIP 2025), whole.

    image -> - mean -> head 3x3 -> blocks -> + head's output -> tail 3x3 -> pixel shuffle -> + mean

A block is `1 + shared` units; a unit adds to x, in turn: HRM_a(x), HRM_c(x), attention(x), HRM_b(x). The first unit of
a block computes the attention maps of its windows, the shared ones use them again. Blocks alternate plain and shifted
windows. Letters in shapes: N images, C channels, H and W padded size, p the window, h = H/p and w = W/p windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipt_stream.model.autocast import without_autocast
from lipt_stream.model.repconv import ConvNorm, LinearBranches, RepConv

Scale: TypeAlias = Literal[1, 2, 3, 4]

MEAN: Final = (0.4488, 0.4371, 0.4040)
"""The mean colour of the training images, RGB in 0..1, as the paper's implementation has it."""

MAX_SIDE: Final = 16_384
"""The longest padded side, in pixels, that the sampling permutation is precomputed for."""

MAP_NUMBERS: Final = 2**19
"""Numbers of attention maps that an eager CPU run holds at a time: 2 MB in float32, about what a core's cache holds."""

NAMES: Final = ("nano", "tiny", "tiny24", "small", "base")


@dataclass(frozen=True, slots=True)
class LiptConfig:
    """The shape of a LIPT. Raises ValueError where the fields make no network.

    `channels` is even (attention halves it), `units` a multiple of `1 + shared`, `window` an even number of pixels.

    The last two tell in which way the sparse half of attention works; false is the paper's implementation, and what
    each is worth docs/training.md says. `scattered`: its result goes back to the pixels that were sampled, instead of
    becoming a dense window. `sampled_values`: shared units sample their values as the first unit did its own.
    """

    scale: Scale
    channels: int
    units: int
    shared: int
    window: int
    scattered: bool = False
    sampled_values: bool = False

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 3, 4):
            raise ValueError(f"scale must be 1, 2, 3 or 4, not {self.scale}")
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"channels must be even and positive, not {self.channels}")
        if self.shared < 0:
            raise ValueError(f"shared must not be negative, and is {self.shared}")
        if self.units < 1 or self.units % (1 + self.shared):
            raise ValueError(f"units ({self.units}) must be a positive multiple of 1 + shared ({1 + self.shared})")
        if self.window < 2 or self.window % 2:
            raise ValueError(f"window must be even and positive, not {self.window}")

    @classmethod
    def named(cls, name: str, scale: Scale) -> LiptConfig:
        """One of NAMES. `small` has 10 units at x1 and x2 and 12 at x3 and x4, as the paper's table implies.

        nano is this project's, for CPUs; tiny and small are the paper's; tiny24 and base are the configurations in
        its repository. ValueError where the name is none of NAMES.
        """
        match name:
            case "nano":
                return cls(scale, channels=16, units=2, shared=1, window=8)
            case "tiny":
                return cls(scale, channels=32, units=6, shared=1, window=8)
            case "tiny24":
                return cls(scale, channels=24, units=8, shared=1, window=8)
            case "small":
                return cls(scale, channels=64, units=10 if scale <= 2 else 12, shared=1, window=8)
            case "base":
                return cls(scale, channels=144, units=22, shared=0, window=16)
            case _:
                raise ValueError(f"no network is named {name!r}: known are {', '.join(NAMES)}")

    @property
    def blocks(self) -> int:
        return self.units // (1 + self.shared)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """How far an output pixel can reach in the input: pixels (left or top, right or bottom), wrap-around excluded.

        A bound that holds for every pixel. A unit's six 3x3 convolutions reach 6 pixels. Windows reach p - 1. Sampled
        values come from up to p pixels further to the right and below: in a block's first unit, in shared ones only
        with `sampled_values` (the maps that they use again were made from shallower, nearer features). A result that
        is scattered goes up to p pixels further to the right and below, so reaches as far to the left and above.
        """
        p = self.window
        ends = 2  # head and tail
        dense = ends + self.units * (6 + p - 1)
        left = dense + p * self.units * self.scattered
        right = dense + p * (self.units if self.sampled_values else self.blocks)
        return left, right


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


Queries: TypeAlias = tuple[Tensor, Tensor]
"""The dense and the sparse half's queries, (N h, w, p p, C/2) each. They are their own keys, so they are the maps."""


class Sampling(NamedTuple):
    """Where the sparse windows' rows (H,) and columns (W,) lie in the picture: two permutations, int64."""

    rows: Tensor
    columns: Tensor

    @property
    def inverse(self) -> tuple[Tensor, Tensor]:
        """Rows and columns that undo it."""
        return self.rows.argsort(), self.columns.argsort()


class Attention(nn.Module):
    """NVSM-SA: self-attention within windows, one half of the channels densely cut, the other sparsely sampled.

    `softmax(q q^T) v` without scaling, heads or position bias. A block's shared units take the first unit's maps; they
    are computed again from its queries, C/2 numbers a pixel, where the maps themselves would be p p numbers a pixel.
    """

    def __init__(self, config: LiptConfig, *, shared: bool, deployed: bool) -> None:
        super().__init__()
        channels = config.channels
        self.window = config.window
        self.scattered, self.sampled_values = config.scattered, config.sampled_values
        self.shared = shared
        width = channels if shared else 2 * channels  # (v dense, v sparse), or (q, v dense, q, v sparse)
        self.project_in = nn.Conv2d(channels, width, 1) if deployed else ConvNorm(channels, width, 1)
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, sampling: Sampling, queries: Queries | None) -> tuple[Tensor, Queries]:
        """x (N, C, H, W). Returns (N, C, H, W) and the queries."""
        height, width = x.shape[-2:]
        dense, sparse = self.project_in(x).permute(0, 2, 3, 1).chunk(2, dim=-1)  # (N, H, W, C or C/2) each
        if queries is None:
            sparse = _taken(sparse, sampling.rows, sampling.columns)
            q_sparse, v_sparse = self._windows(sparse).chunk(2, dim=-1)  # (N h, w, p p, C/2) each
            del sparse  # a frame's worth of memory each time: this is where a pass needs most
            q_dense, v_dense = self._windows(dense).chunk(2, dim=-1)
        else:
            q_dense, q_sparse = queries
            v_dense = self._windows(dense)
            if self.sampled_values:
                sparse = _taken(sparse, sampling.rows, sampling.columns)
            # Else as the reference does: cut densely, though the map was made from sampled pixels.
            v_sparse = self._windows(sparse)
            del sparse
        del dense
        y_dense, y_sparse = _attend(q_dense, v_dense), _attend(q_sparse, v_sparse)  # (N h, w, p p, C/2)
        if self.scattered:
            back = _taken(self._picture(y_sparse, height, width), *sampling.inverse)
            y = torch.cat((self._picture(y_dense, height, width), back), dim=-1)  # (N, H, W, C)
        else:
            y = self._picture(torch.cat((y_dense, y_sparse), dim=-1), height, width)
        return self.project_out(y.permute(0, 3, 1, 2)), (q_dense, q_sparse)

    def _windows(self, x: Tensor) -> Tensor:
        """(N, H, W, c) -> (N h, w, p p, c). Two batch axes, because one would outgrow a CUDA grid at 8K."""
        p = self.window
        n, height, width, channels = x.shape
        x = x.reshape(n, height // p, p, width // p, p, channels).transpose(2, 3)  # (N, h, w, p, p, c)
        return x.reshape(n * height // p, width // p, p * p, channels)

    def _picture(self, y: Tensor, height: int, width: int) -> Tensor:
        """(N h, w, p p, c) -> (N, H, W, c), the inverse of `_windows`."""
        p = self.window
        channels = y.shape[-1]
        y = y.reshape(-1, height // p, width // p, p, p, channels).transpose(2, 3)  # (N, h, p, w, p, c)
        return y.reshape(-1, height, width, channels)


def _taken(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(N, H, W, c) -> the same, its rows and columns in the order that is given."""
    return x.index_select(1, rows).index_select(2, columns)


def _attend(q: Tensor, v: Tensor) -> Tensor:
    """softmax(q q^T) v of every window, without ever holding the maps of the whole frame. (N h, w, p p, C/2) all.

    The fused kernels keep no map and sum in float32 whatever the dtype. On a CPU they are slow for windows this small:
    run eagerly there, a few rows of windows at a time, whose maps stay in cache, take two thirds of their time.
    With gradients they run in float32 there: in bfloat16 they take six times as long backwards, and round more.
    """
    if q.device.type != "cpu" or _is_traced():
        return F.scaled_dot_product_attention(q, q, v, scale=1.0)
    if torch.is_grad_enabled():
        exact = q.to(torch.promote_types(q.dtype, torch.float32))
        with without_autocast(q.device):
            return F.scaled_dot_product_attention(exact, exact, v.to(exact.dtype), scale=1.0).to(v.dtype)
    y = torch.empty_like(v)
    step = max(1, MAP_NUMBERS // (q.shape[1] * q.shape[2] ** 2))
    for start in range(0, len(q), step):
        rows = slice(start, start + step)
        maps = torch.softmax(q[rows] @ q[rows].mT, dim=-1)  # (step, w, p p, p p)
        torch.matmul(maps, v[rows], out=y[rows])
    return y


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
    return not _is_traced() and not torch.is_grad_enabled()


def _is_traced() -> bool:
    return torch.jit.is_tracing() or torch.compiler.is_compiling()  # pyright: ignore[reportPrivateImportUsage]


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


def sparse_sampling(window: int, side: int) -> Tensor:
    """Which rows (or columns) the sparse windows take, in order: int64 (side rounded down to whole windows,).

    Of the 2p rows from a window's first on, window k takes every other one of the first half, then the others of the
    second: for p = 8, k p + (0 2 4 6 9 11 13 15). Taken modulo the picture's padded side this is a permutation of its
    rows: each pixel is sampled exactly once (the "non-volatile" of the paper).
    """
    step = torch.arange(window)
    within = 2 * step + (step >= window // 2)  # p + 2 (i - p/2) + 1 = 2 i + 1
    starts = torch.arange(side // window) * window
    return (starts[:, None] + within).flatten()


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
