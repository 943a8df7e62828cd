"""A teacher's views."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lipt_stream.train.teacher import seen_in_a_view


def crooked(low: Tensor) -> Tensor:
    """Twice the size by a kernel without symmetry."""
    kernel = torch.arange(9.0).reshape(1, 1, 3, 3).expand(12, 1, 3, 3) * torch.arange(1.0, 13.0).reshape(12, 1, 1, 1)
    return F.pixel_shuffle(F.conv2d(low, kernel, padding=1, groups=3), 2)


def test_each_crop_is_seen_in_one_of_its_eight_views_and_turned_back() -> None:
    crop = torch.rand(1, 3, 6, 6)
    eight = [
        torch.rot90(crooked(torch.rot90(flipped, turns, (-2, -1))), -turns, (-2, -1))
        for flipped in (crop, crop.flip(-1))
        for turns in range(4)
    ]
    expected = [*eight[:4], *(picture.flip(-1) for picture in eight[4:])]
    seen = seen_in_a_view(crooked, crop.expand(400, -1, -1, -1), torch.Generator().manual_seed(0))
    distances = torch.stack([(seen - picture).abs().amax((1, 2, 3)) for picture in expected], dim=1)  # (400, 8)
    assert (distances.min(1).values < 1e-3).all()
    counts = distances.argmin(1).bincount(minlength=8)
    assert (counts > 25).all(), "each about fifty times"


def test_what_is_symmetric_is_seen_as_it_is() -> None:
    low = torch.rand(9, 3, 4, 4)
    twice = F.interpolate(low, scale_factor=2)
    assert torch.equal(seen_in_a_view(lambda x: F.interpolate(x, scale_factor=2), low, torch.Generator()), twice)
