"""Batches of (LR, HR) made on the device: bicubic LR on the fly, or crops of pairs that were degraded before."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lipt_stream.train.images import PackedImages
from lipt_stream.train.imresize import contributions

MARGIN: Final = 2
"""LR pixels of surroundings that the antialiased bicubic reaches: its kernel is 4 LR pixels wide."""


class Batch(NamedTuple):
    """Float32 in 0..1: `low` (N, 3, p, p) in steps of 1/255, `high` (N, 3, s p, s p)."""

    low: Tensor
    high: Tensor


class BicubicBatches:
    """Crops of HR images, each with its LR by MATLAB's antialiased bicubic, rounded to 8 bits."""

    def __init__(self, high: PackedImages, scale: int) -> None:
        self._high = high
        self._scale = scale

    @staticmethod
    def least_side(patch: int, scale: int) -> int:
        """The shortest side in pixels of an HR image that crops of `patch` LR pixels can be cut from."""
        return (patch + 2 * MARGIN) * scale

    def draw(self, count: int, patch: int, generator: torch.Generator) -> Batch:
        """`count` random pairs of `patch` LR pixels a side."""
        s = self._scale
        side = self.least_side(patch, s)
        wide = self._high.cut(self._high.draw(count, side, generator), side).float()
        edge = MARGIN * s
        low = shrink(wide, s)[..., MARGIN : MARGIN + patch, MARGIN : MARGIN + patch]
        high = wide[..., edge : edge + patch * s, edge : edge + patch * s]
        return Batch(low / 255, high / 255)


class PairedBatches:
    """Crops of HR images and of their degraded LR, in the same places."""

    def __init__(self, high: PackedImages, low: PackedImages, scale: int) -> None:
        """`high` and `low`: the same images in the same order, each of `high` exactly `scale` times as large."""
        if not (torch.equal(high.heights, low.heights * scale) and torch.equal(high.widths, low.widths * scale)):
            raise ValueError(f"HR images are not {scale} times as large as their LR")
        self._high, self._low, self._scale = high, low, scale

    def draw(self, count: int, patch: int, generator: torch.Generator) -> Batch:
        """`count` random pairs of `patch` LR pixels a side."""
        crops = self._low.draw(count, patch, generator)
        low = self._low.cut(crops, patch)
        high = self._high.cut(crops.scaled(self._scale), patch * self._scale)
        return Batch(low.float() / 255, high.float() / 255)


def shrink(images: Tensor, scale: int) -> Tensor:
    """MATLAB's `imresize(images, 1 / scale)` on a device: (N, C, H, W) float in 0..255 -> (N, C, H/s, W/s), rounded.

    H and W are multiples of `scale`. In float32, so that a value within 1e-4 of a half may round to the other side.
    """
    height, width = images.shape[-2:]
    rows = _matrix(height, scale, images.device)  # (H / s, H)
    columns = _matrix(width, scale, images.device)
    small = rows @ (images @ columns.T)
    return (small + 0.5).floor().clamp(0, 255)


_matrices: dict[tuple[int, int, torch.device], Tensor] = {}


def _matrix(length: int, scale: int, device: torch.device) -> Tensor:
    """The resampling of one axis as a float32 matrix (length / scale, length), kept on the device for later batches."""
    if (length, scale, device) not in _matrices:
        indices, weights = contributions(length, Fraction(1, scale))
        matrix = np.zeros((len(indices), length))
        np.add.at(matrix, (np.arange(len(indices))[:, None], indices), weights)
        _matrices[length, scale, device] = torch.as_tensor(matrix, dtype=torch.float32, device=device)
    return _matrices[length, scale, device]
