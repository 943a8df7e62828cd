"""MATLAB's `imresize`: the resampler by which the field makes its low-resolution images and its baselines.

Not the same as `torch.nn.functional.interpolate(mode="bicubic")`, whose kernel has a = -0.75, nor as Pillow's, which
renormalises the kernel at the edges where MATLAB mirrors the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Float64: TypeAlias = NDArray[np.float64]
Kernel: TypeAlias = Literal["cubic", "lanczos3"]


def imresize(image: NDArray[Any], scale: float | Fraction, kernel: Kernel = "cubic") -> NDArray[Any]:
    """Resize an image as MATLAB's `imresize(image, scale)` does: antialiased when it shrinks.

    Args:
        image: (H, W) or (H, W, C); uint8, or floating in any range.
        scale: output size over input size, > 0; a Fraction (1/3) keeps sizes exact. The result is
            (ceil(H * scale), ceil(W * scale)[, C]).
        kernel: "cubic" (Keys 1981, a = -0.5) or "lanczos3".

    Returns:
        uint8 (rounded half up, clamped) for uint8, float64 (neither rounded nor clamped) for floating input.
    """
    if scale <= 0:
        raise ValueError(f"scale must be positive, not {scale}")
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"an image is (H, W) or (H, W, C) and not empty, not {image.shape}")
    resized = image.astype(np.float64)
    for axis in (0, 1):
        indices, weights = contributions(image.shape[axis], scale, kernel)
        resized = _resample(resized, axis, indices, weights)
    if image.dtype == np.uint8:
        return np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8)
    return resized


def contributions(length: int, scale: float | Fraction, kernel: Kernel = "cubic") -> tuple[NDArray[np.intp], Float64]:
    """Which of `length` samples make each output sample, and by how much.

    Returns:
        indices (out, taps) in 0..length-1, mirrored at the edges (the edge sample is repeated: c b a a b c), and
        weights (out, taps), each row summing to 1.
    """
    function, width = _KERNELS[kernel]
    ratio = float(scale)
    stretch = min(
        ratio, 1.0
    )  # going down, the kernel is widened by 1 / scale so that it also cuts the high frequencies
    width /= stretch
    centers = (np.arange(math.ceil(length * scale), dtype=np.float64) + 0.5) / ratio - 0.5
    taps = math.ceil(width) + 2  # two more than can be non-zero: rounding at either end never loses one
    positions = np.floor(centers - width / 2).astype(np.intp)[:, None] + np.arange(taps)
    weights = function(stretch * (centers[:, None] - positions))
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    return _mirror(positions[:, used], length), weights[:, used]


def _resample(image: Float64, axis: int, indices: NDArray[np.intp], weights: Float64) -> Float64:
    """Weighted sum of samples along one axis, one tap at a time: never a copy of the image per tap."""
    shape = [1] * image.ndim
    shape[axis] = -1
    out = np.take(image, indices[:, 0], axis) * weights[:, 0].reshape(shape)
    for tap in range(1, indices.shape[1]):
        out += np.take(image, indices[:, tap], axis) * weights[:, tap].reshape(shape)
    return out


def _mirror(positions: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Reflect positions outside 0..length-1 back in, about the outer faces of the edge samples."""
    folded = positions % (2 * length)
    return np.minimum(folded, 2 * length - 1 - folded)


def _cubic(x: Float64) -> Float64:
    """Keys' cubic convolution kernel with a = -0.5."""
    d = np.abs(x)
    near = (1.5 * d - 2.5) * d * d + 1.0
    far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1, near, np.where(d <= 2, far, 0.0))


def _lanczos3(x: Float64) -> Float64:
    """sinc(x) sinc(x / 3) on -3..3."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_KERNELS: Final[dict[Kernel, tuple[Callable[[Float64], Float64], float]]] = {
    "cubic": (_cubic, 4.0),
    "lanczos3": (_lanczos3, 6.0),
}
