"""A teacher's pictures from all sides: a network enlarges a flipped or turned picture a little differently, and the
mean over the eight ways is better than each (geometric self-ensemble; Timofte et al., "Seven ways", CVPR 2016)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def seen_in_a_view(enlarge: Callable[[Tensor], Tensor], low: Tensor, generator: torch.Generator) -> Tensor:
    """What `enlarge`, (N, 3, H, H) -> (N, 3, scale H, scale H), makes of each crop in one of its eight flips and
    rotations, drawn at random, turned back; float32.

    Who learns from one at a time with a squared error learns the mean of all eight, at an eighth of the work.
    """
    return in_views(enlarge, low, torch.randint(8, (len(low),), generator=generator, device=low.device))


def in_views(enlarge: Callable[[Tensor], Tensor], low: Tensor, views: Tensor) -> Tensor:
    """The same in given views, (N,) of 0..7."""
    views = views[:, None, None, None]
    turned = _flipped(low, views)
    turned = torch.where(views & 4 > 0, turned.mT, turned).contiguous(memory_format=torch.channels_last)
    seen = enlarge(turned).float()
    return _flipped(torch.where(views & 4 > 0, seen.mT, seen), views)


def _flipped(x: Tensor, views: Tensor) -> Tensor:
    """Along its width (bit 0) and its height (bit 1). By masks: to look at `views` would wait for a GPU."""
    x = torch.where(views & 1 > 0, x.flip(-1), x)
    return torch.where(views & 2 > 0, x.flip(-2), x)
