"""A teacher's pictures: as it makes them, or the better ones on which its eight views of the input agree."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def over_eight_views(enlarge: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """What `enlarge`, (N, 3, H, W) -> (N, 3, scale H, scale W), makes of the eight flips and rotations of a picture,
    turned back and averaged: the geometric self-ensemble of Timofte et al. ("Seven ways", CVPR 2016), float32."""

    def mean(low: Tensor) -> Tensor:
        return torch.stack([_turned(enlarge(_turned(low, view)).float(), _BACK[view]) for view in range(8)]).mean(0)

    return mean


_BACK = (0, 1, 2, 3, 4, 6, 5, 7)
"""The view that undoes each: turned by a quarter, a picture needs three more."""


def _turned(x: Tensor, view: int) -> Tensor:
    """One of eight: flipped along its width (bit 0) and its height (bit 1), then transposed (bit 2)."""
    flipped = x.flip([dim for bit, dim in ((1, -1), (2, -2)) if view & bit])
    return (flipped.mT if view & 4 else flipped).contiguous(memory_format=torch.channels_last)
