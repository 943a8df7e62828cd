"""The mean over a teacher's eight views."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lipt_stream.train.teacher import over_eight_views

EIGHT: list[Callable[[Tensor], Tensor]] = [
    view
    for turns in range(4)
    for view in (
        lambda x, turns=turns: torch.rot90(x, turns, (-2, -1)),
        lambda x, turns=turns: torch.rot90(x.flip(-1), turns, (-2, -1)),
    )
]


def crooked(low: Tensor) -> Tensor:
    """Twice the size by a kernel without symmetry."""
    kernel = torch.arange(9.0).reshape(1, 1, 3, 3).expand(12, 1, 3, 3) * torch.arange(1.0, 13.0).reshape(12, 1, 1, 1)
    return F.pixel_shuffle(F.conv2d(low, kernel, padding=1, groups=3), 2)


def test_what_has_a_view_of_its_own_has_none_any_more() -> None:
    low = torch.rand(2, 3, 7, 5)
    assert not torch.allclose(crooked(low.flip(-1)), crooked(low).flip(-1), atol=1e-2)
    mean = over_eight_views(crooked)
    for turned in EIGHT:
        torch.testing.assert_close(mean(turned(low)), turned(mean(low)))


def test_it_is_the_mean_of_eight() -> None:
    low = torch.rand(1, 3, 6, 6)
    back = [EIGHT[number] for number in (0, 1, 6, 3, 4, 5, 2, 7)]  # a turn is undone by three more, a mirror by itself
    eight = [undo(crooked(turned(low))) for turned, undo in zip(EIGHT, back, strict=True)]
    torch.testing.assert_close(over_eight_views(crooked)(low), torch.stack(eight).mean(0))


def test_what_is_symmetric_stays() -> None:
    low = torch.rand(1, 3, 4, 6)
    torch.testing.assert_close(
        over_eight_views(lambda x: F.interpolate(x, scale_factor=2))(low), F.interpolate(low, scale_factor=2)
    )
