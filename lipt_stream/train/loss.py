"""The losses of a run.

Their gradients are of one size, so that a run may go from one to another: the optimizer's second moments remember some
thousand steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import torch.nn.functional as F
from torch import Tensor

Loss: TypeAlias = Literal["l1", "psnr"]
"""L1 and then the root of the mean squared error, or each crop's PSNR all the time."""

BEST_PSNR: Final = 50.0
"""dB above which a crop asks for nothing more: its rounding to 8 bits is not far (59 dB)."""

_PSNR_SCALE: Final = 0.002
"""Makes the gradient about as large as L1's at the 30 to 40 dB where networks live."""


def distance_of(loss: Loss, *, last_phase: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """What a result is measured by against what is wanted, both (N, C, H, W) in 0..1; the mean over the batch."""
    if loss == "psnr":
        return missing_psnr
    return root_mean_square_error if last_phase else F.l1_loss


def root_mean_square_error(result: Tensor, wanted: Tensor) -> Tensor:
    """The squared error's direction with a gradient as large as L1's: with the plain squared error's, the steps would
    shrink to a fiftieth for the rest of the run."""
    return (F.mse_loss(result, wanted) + 1e-10).sqrt()


def missing_psnr(result: Tensor, wanted: Tensor) -> Tensor:
    """How far each crop's PSNR is from BEST_PSNR, in 500 dB. What `eval` averages, and so a crop of sky counts as much
    as one of leaves, where L1 learns more from the leaves and the squared error from hardly anything else."""
    squared = (result - wanted).square().mean(dim=(1, 2, 3))
    return _PSNR_SCALE * (BEST_PSNR + 10 * (squared + 10 ** (-BEST_PSNR / 10)).log10()).mean()
