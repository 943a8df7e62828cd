"""Planes of YUV 4:2:0 to RGB for the network, and its RGB back to planes: the torch implementation, and the choice.

RGB is not clamped on the way in (super-white and out-of-gamut YUV survive an identity network) and only clamped to the
planes' code range on the way out. HDR (PQ, HLG) is treated as plain code values: no transfer function is undone, the
network sees the picture as it is coded, and the tags leave with it unchanged.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from lipt_stream.engine import color_cuda
from lipt_stream.engine.color_math import (
    DevicePlanes,
    check_shapes,
    cosited,
    signed,
    to_planes_constants,
    to_rgb_constants,
)
from lipt_stream.engine.one_thread import one_thread
from lipt_stream.frame import VideoFormat

__all__ = ["Colors", "DevicePlanes", "TorchColors", "make_colors"]


class Colors(Protocol):
    """Converts one source format to RGB and RGB to one target format. Each direction owns scratch memory: it may be
    used by one thread (and on one stream) at a time; the two directions are independent of each other."""

    def to_rgb(self, planes: DevicePlanes, rgb: Tensor) -> None:
        """Fill `rgb` (1, 3, H, W), 0..1 and beyond where the codes are, from planes of the source format."""
        ...

    def to_planes(self, rgb: Tensor, planes: DevicePlanes) -> None:
        """Fill planes of the target format, rounded and clamped, from `rgb` (1, 3, H, W) of the target's size."""
        ...


def make_colors(source: VideoFormat, target: VideoFormat, device: torch.device) -> Colors:
    """The fastest Colors for `device`: fused kernels on CUDA with CuPy, torch elsewhere.

    Raises InputError for a colour matrix that has no linear RGB (YCgCo, ICtCp, BT.2020 constant luminance, ...), and
    DeviceError where CuPy is installed but cannot compile for this device.
    """
    if device.type == "cuda" and color_cuda.is_installed():
        return color_cuda.CudaColors(source, target, device)
    return TorchColors(source, target, device)


class TorchColors:
    """Colors out of separable torch operations, in float32, on any device. The reference, and the product on CPUs.

    Chroma is centred and filtered at its own resolution before it meets luma, and RGB is filtered down before the
    chroma rows of the matrix are applied: both are linear, so the order is free, and this one touches fewest samples.
    Scratch memory: 18 bytes per source pixel, 15 bytes per target pixel.

    On a CPU it keeps to the calling thread. Each of its two dozen small operations would otherwise end at an OpenMP
    barrier; on cores shared with a decoder and an encoder those cost a scheduler's time slice each, a hundred times
    the work itself, to gain two milliseconds of four when nothing else runs.
    """

    def __init__(self, source: VideoFormat, target: VideoFormat, device: torch.device) -> None:
        """Raises InputError for a colour matrix that has no linear RGB."""
        self._source, self._target = source, target
        self._in, self._out = to_rgb_constants(source), to_planes_constants(target)
        self._cosited_in, self._cosited_out = cosited(source), cosited(target)

        def scratch(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.empty(shape, dtype=dtype, device=device)

        (_, _), (h, w), _ = source.plane_shapes
        self._luma = scratch(source.height, source.width)
        self._chroma = scratch(2, h, w)
        self._chroma_rows = scratch(2, 2 * h, w)
        self._chroma_full = scratch(2, 2 * h, 2 * w)

        (_, _), (h, w), _ = target.plane_shapes
        self._plane = scratch(target.height, target.width)
        self._codes = scratch(target.height, target.width, dtype=torch.int16)
        self._rows = scratch(3, h, target.width)
        self._small = scratch(3, h, w)

    def to_rgb(self, planes: DevicePlanes, rgb: Tensor) -> None:
        with one_thread():
            self._to_rgb(planes, rgb)

    def to_planes(self, rgb: Tensor, planes: DevicePlanes) -> None:
        with one_thread():
            self._to_planes(rgb, planes)

    def _to_rgb(self, planes: DevicePlanes, rgb: Tensor) -> None:
        k, luma = self._in, self._luma
        check_shapes(self._source, planes, rgb)
        luma.copy_(signed(planes[0])).mul_(k.luma_scale).add_(k.luma_offset)
        for plane, chroma in zip(planes[1:], self._chroma, strict=True):
            chroma.copy_(signed(plane))
        self._chroma.sub_(k.chroma_zero)
        cosited_x, cosited_y = self._cosited_in
        _double(self._chroma, self._chroma_rows, dim=1, is_cosited=cosited_y)
        _double(self._chroma_rows, self._chroma_full, dim=2, is_cosited=cosited_x)
        u, v = self._chroma_full[:, : self._source.height, : self._source.width]
        red, green, blue = rgb[0]
        torch.add(luma, v, alpha=k.v_to_r, out=red)
        torch.add(luma, u, alpha=k.u_to_b, out=blue)
        luma.add_(u, alpha=k.u_to_g)
        torch.add(luma, v, alpha=k.v_to_g, out=green)

    def _to_planes(self, rgb: Tensor, planes: DevicePlanes) -> None:
        k = self._out
        check_shapes(self._target, planes, rgb)
        pixels = rgb[0].float()
        _mix(pixels, k.y, self._plane)
        self._quantise(self._plane, planes[0])
        cosited_x, cosited_y = self._cosited_out
        _halve(pixels, self._rows, dim=1, is_cosited=cosited_y)
        _halve(self._rows, self._small, dim=2, is_cosited=cosited_x)
        h, w = planes[1].shape
        chroma = self._plane.view(-1)[: h * w].view(h, w)  # luma is done with its scratch
        for weights, plane in zip((k.u, k.v), planes[1:], strict=True):
            _mix(self._small, weights, chroma)
            self._quantise(chroma, plane)

    def _quantise(self, values: Tensor, plane: Tensor) -> None:
        """Clamp, cut the fraction off (the offset already holds the half of rounding), store."""
        values.clamp_(0, self._out.max_code)
        if plane.dtype == torch.uint8:
            # By way of int16: torch's CPU conversion from float32 straight to uint8 is not vectorised, 50 times slower.
            codes = self._codes.view(-1)[: values.numel()].view(values.shape)
            plane.copy_(codes.copy_(values))
        else:
            signed(plane).copy_(values)


def _mix(rgb: Tensor, weights: tuple[float, float, float, float], out: Tensor) -> None:
    """out (H, W) = r R + g G + b B + offset of rgb (3, H, W)."""
    r, g, b, offset = weights
    torch.mul(rgb[0], r, out=out)
    out.add_(rgb[1], alpha=g).add_(rgb[2], alpha=b).add_(offset)


def _double(samples: Tensor, out: Tensor, *, dim: int, is_cosited: bool) -> None:
    """Linear interpolation to twice the length along `dim`; edges replicate."""
    n = samples.shape[dim]
    even, odd = _even_odd(out, dim)
    before, after = samples.narrow(dim, 0, n - 1), samples.narrow(dim, 1, n - 1)
    if is_cosited:
        even.copy_(samples)
        torch.lerp(before, after, 0.5, out=odd.narrow(dim, 0, n - 1))
    else:
        even.narrow(dim, 0, 1).copy_(samples.narrow(dim, 0, 1))
        torch.lerp(after, before, 0.25, out=even.narrow(dim, 1, n - 1))
        torch.lerp(before, after, 0.25, out=odd.narrow(dim, 0, n - 1))
    odd.narrow(dim, n - 1, 1).copy_(samples.narrow(dim, n - 1, 1))


def _halve(pixels: Tensor, out: Tensor, *, dim: int, is_cosited: bool) -> None:
    """Filter to half the length (rounded up) along `dim`: [1 2 1]/4 around even pixels, or the mean of each two.
    Edges replicate, so a last pixel without a partner counts for both."""
    size = pixels.shape[dim]
    pairs, n = size // 2, out.shape[dim]
    even, odd = _even_odd(pixels, dim)
    weight = 0.25 if is_cosited else 0.5
    torch.lerp(even.narrow(dim, 0, pairs), odd, weight, out=out.narrow(dim, 0, pairs))
    if n > pairs:
        out.narrow(dim, pairs, 1).copy_(even.narrow(dim, pairs, 1))
    if is_cosited:
        rest = out.narrow(dim, 1, n - 1)
        rest.add_(odd.narrow(dim, 0, n - 1), alpha=0.25).sub_(even.narrow(dim, 1, n - 1), alpha=0.25)


def _even_odd(samples: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Views of the samples at even and at odd places along `dim`."""
    before = (slice(None),) * dim
    return samples[(*before, slice(0, None, 2))], samples[(*before, slice(1, None, 2))]
