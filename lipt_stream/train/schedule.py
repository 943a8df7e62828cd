"""What the elapsed share of the budget decides: learning rate, loss and size of patches."""

from __future__ import annotations

import math
from typing import Final

from lipt_stream.train.spec import TrainSpec

LEAST_RATE: Final = 0.005
"""The learning rate at the end, as a part of the highest."""


def learning_rate(spec: TrainSpec, progress: float) -> float:
    """Linear warm-up, then a cosine down to nearly nothing. `progress` in 0..1 of the budget."""
    if progress < spec.warmup_share:
        return spec.learning_rate * max(progress / spec.warmup_share, 0.01)
    decayed = (progress - spec.warmup_share) / (1 - spec.warmup_share)
    cosine = (1 + math.cos(math.pi * min(decayed, 1.0))) / 2
    return spec.learning_rate * (LEAST_RATE + (1 - LEAST_RATE) * cosine)


def in_tail(spec: TrainSpec, progress: float) -> bool:
    """Whether larger patches have taken over, and the root of the squared error from L1."""
    return progress >= 1 - spec.tail_share


def batch_shape(spec: TrainSpec, progress: float) -> tuple[int, int]:
    """(batch, patch): in the tail fewer and larger crops, of about as many pixels."""
    if not in_tail(spec, progress):
        return spec.batch, spec.patch
    return max(1, round(spec.batch * (spec.patch / spec.tail_patch) ** 2)), spec.tail_patch


def ema_decay(spec: TrainSpec, step: int) -> float:
    """Short at first, so that the average does not carry the start along. `step` counts from 0."""
    return min(spec.ema_decay, (1 + step) / (10 + step))
