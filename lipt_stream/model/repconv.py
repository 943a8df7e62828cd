"""RepConv: six linear branches in training, one 3x3 convolution afterwards (LIPT, arXiv 2404.06075, section III-B).

Every branch is a convolution (1x1 or 3x3), or a 1x1 convolution followed by a 3x3 one, each perhaps with a batch norm.
All of that is linear in evaluation mode, so a branch folds to an `Affine` and the branches add up to one kernel and one
bias. The functions below are ordinary differentiable tensor expressions: they serve to merge a trained network once,
and equally to merge branches without batch norm inside a training step.

Between the two convolutions of a branch the border is padded with the first one's response to zero (its folded bias),
not with zero: the first convolution then sees, as it were, an image padded with zeros, and the merge is exact there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lipt_stream.model.autocast import without_autocast


class Affine(NamedTuple):
    """A convolution as data: weight (out, in, k, k) with k 1 or 3, or depthwise (out, 1, 3, 3); bias (out,)."""

    weight: Tensor
    bias: Tensor


class Stage(Protocol):
    """A step of a branch: callable on (N, C, H, W), and able to say which convolution it is in evaluation mode."""

    def __call__(self, x: Tensor, /) -> Tensor: ...

    def affine(self) -> Affine: ...


def fold_batch_norm(convolution: Affine, norm: nn.BatchNorm2d) -> Affine:
    """The convolution that equals `norm(convolution(x))` with the norm's running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)  # (out,)
    return Affine(
        convolution.weight * gain[:, None, None, None],
        (convolution.bias - norm.running_mean) * gain + norm.bias,
    )


def chain(first: Affine, second: Affine) -> Affine:
    """The 3x3 convolution that equals a 1x1 one followed by a 3x3 (full or depthwise) one.

    Exact at the border where the result of `first` is padded with `first.bias`.
    """
    if second.weight.shape[1] == 1:  # depthwise (of one channel, the same thing)
        weight = second.weight * first.weight  # (out, 1, 3, 3) * (out, in, 1, 1)
        bias = second.weight.sum((1, 2, 3)) * first.bias + second.bias
    else:
        weight = torch.einsum("omyx,mi->oiyx", second.weight, first.weight[:, :, 0, 0])
        bias = second.weight.sum((2, 3)) @ first.bias + second.bias
    return Affine(weight, bias)


def merge(branches: Iterable[Affine]) -> Affine:
    """The one 3x3 convolution (zero padding) that equals the sum of parallel 1x1 and 3x3 convolutions."""
    same_size = [(F.pad(b.weight, (1, 1, 1, 1)) if b.weight.shape[-1] == 1 else b.weight, b.bias) for b in branches]
    weights, biases = zip(*same_size, strict=True)
    return Affine(torch.stack(weights).sum(0), torch.stack(biases).sum(0))


class ConvNorm(nn.Module):
    """A convolution without bias, then a batch norm. (N, in, H, W) -> (N, out, H - k + 1 + 2 padding, ...)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))

    def affine(self) -> Affine:
        weight = self.conv.weight
        return fold_batch_norm(Affine(weight, weight.new_zeros(weight.shape[0])), self.norm)


class PointConv(nn.Module):
    """A 1x1 convolution with bias. (N, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def affine(self) -> Affine:
        assert self.conv.bias is not None
        return Affine(self.conv.weight, self.conv.bias)


class AverageNorm(nn.Module):
    """The 3x3 mean of each channel, then a batch norm. (N, C, H, W) -> (N, C, H - 2, W - 2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.avg_pool2d(x, 3, stride=1))

    def affine(self) -> Affine:
        gain = self.norm.weight
        mean = torch.full((gain.shape[0], 1, 3, 3), 1 / 9, dtype=gain.dtype, device=gain.device)
        return fold_batch_norm(Affine(mean, gain.new_zeros(gain.shape[0])), self.norm)


SOBEL_X = ((1.0, 0.0, -1.0), (math.sqrt(2), 0.0, -math.sqrt(2)), (1.0, 0.0, -1.0))
"""The isotropic Sobel operator (Frei and Chen, 1977). Its transpose is the one for y."""


class Sobel(nn.Module):
    """The isotropic Sobel response of each channel, times a learnt scale, plus a bias. -> (N, C, H - 2, W - 2)."""

    mask: Tensor

    def __init__(self, channels: int, *, transposed: bool) -> None:
        super().__init__()
        mask = torch.tensor(SOBEL_X)
        self.register_buffer("mask", mask.T.contiguous() if transposed else mask, persistent=False)
        self.scale = nn.Parameter(torch.empty(channels).normal_(std=1e-3))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.affine()
        return F.conv2d(x, weight, bias, groups=len(bias))

    def affine(self) -> Affine:
        return Affine(self.scale[:, None, None, None] * self.mask, self.bias)


class Chain(nn.Module):
    """A 1x1 stage, the border padded with its response to zero, then a 3x3 stage. (N, C, H, W) -> the same."""

    def __init__(self, first: ConvNorm | PointConv, second: ConvNorm | AverageNorm | Sobel) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        around = (1, 1, 1, 1)
        border = F.pad(x.new_zeros(x.shape[-2:]), around, value=1.0)  # (H + 2, W + 2): F.pad has no value per channel
        at_zero = self.first.affine().bias[:, None, None] * border
        return self.second(F.pad(self.first(x), around) + at_zero)

    def affine(self) -> Affine:
        return chain(self.first.affine(), self.second.affine())


class RepConv(nn.Module):
    """The sum of six linear branches: in evaluation mode, exactly the 3x3 convolution that `affine` gives.

    (N, C, H, W) -> the same, any floating dtype. In training mode batch norms use the batch's statistics.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        identity = ConvNorm(channels, channels, 1)
        nn.init.dirac_(identity.conv.weight)
        self.square = ConvNorm(channels, channels, 3, padding=1)
        self.point = ConvNorm(channels, channels, 1)
        self.point_square = Chain(identity, ConvNorm(channels, channels, 3))
        self.point_average = Chain(ConvNorm(channels, channels, 1), AverageNorm(channels))
        self.point_sobel_x = Chain(PointConv(channels), Sobel(channels, transposed=False))
        self.point_sobel_y = Chain(PointConv(channels), Sobel(channels, transposed=True))

    @property
    def branches(self) -> tuple[Stage, ...]:
        """In the order in which sums round most like the stored outputs of the paper's implementation."""
        return (
            self.square,
            self.point,
            self.point_square,
            self.point_sobel_x,
            self.point_sobel_y,
            self.point_average,
        )

    def forward(self, x: Tensor) -> Tensor:
        first, *others = self.branches
        y = first(x)
        for branch in others:
            y = y + branch(x)
        return y

    def affine(self) -> Affine:
        """The merged kernel (C, C, 3, 3) and bias (C,), differentiable in every parameter."""
        return merge(branch.affine() for branch in self.branches)


class SquareConv(nn.Module):
    """The kernel and bias of a 3x3 convolution, as a stage that is only ever merged. (C, C, 3, 3) and (C,)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def affine(self) -> Affine:
        assert self.conv.bias is not None
        return Affine(self.conv.weight, self.conv.bias)


class Average(nn.Module):
    """The 3x3 mean of each channel times a learnt gain, as a stage that is only ever merged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.empty(channels).normal_(std=1e-3))

    def affine(self) -> Affine:
        weight = (self.gain / 9)[:, None, None, None].expand(-1, 1, 3, 3)
        return Affine(weight, torch.zeros_like(self.gain))


class LinearBranches(nn.Module):
    """RepConv's six branches without batch norm, merged inside every forward pass: the cost of one 3x3 convolution.

    (N, C, H, W) -> the same, in training as in evaluation. A RepConv whose batch norms were folded has this form.
    Starts as exactly `plain`, a 3x3 convolution of C to C channels with padding 1 and bias. Autocast does not reach the
    merge, only the convolution: what trains is what `deploy` merges.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        channels = plain.out_channels
        self.square = SquareConv(channels)
        self.point = PointConv(channels)
        self.points = nn.ModuleList(PointConv(channels) for _ in range(4))
        self.squares = nn.ModuleList(
            (
                SquareConv(channels),
                Average(channels),
                Sobel(channels, transposed=False),
                Sobel(channels, transposed=True),
            )
        )
        with torch.no_grad():
            nn.init.dirac_(cast("PointConv", self.points[0]).conv.weight)
            for small in (self.point, cast("SquareConv", self.squares[0])):
                small.conv.weight.mul_(0.1)
            others = self.affine()
            assert plain.bias is not None
            self.square.conv.weight.add_(plain.weight - others.weight)
            assert self.square.conv.bias is not None
            self.square.conv.bias.add_(plain.bias - others.bias)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.affine()
        return F.conv2d(x, weight, bias, padding=1)

    def affine(self) -> Affine:
        """The merged kernel (C, C, 3, 3) and bias (C,), differentiable in every parameter."""
        with without_autocast(self.point.conv.weight.device):
            chains = (
                chain(cast("Stage", first).affine(), cast("Stage", second).affine())
                for first, second in zip(self.points, self.squares, strict=True)
            )
            return merge((self.square.affine(), self.point.affine(), *chains))
