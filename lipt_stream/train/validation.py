"""How good the network is while it trains: Y-PSNR on pairs that are neither trained on nor tested with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lipt_stream.engine.runtimes import without_tf32
from lipt_stream.model.lipt import LIPT
from lipt_stream.train.evaluate import Uint8Image, psnr_y
from lipt_stream.train.imresize import imresize


@dataclass(frozen=True, slots=True)
class ValidationPair:
    """(h, w, 3) and (s h, s w, 3), RGB uint8."""

    low: NDArray[np.uint8]
    high: NDArray[np.uint8]


def bicubic_pairs(images: Sequence[NDArray[np.uint8]], scale: int) -> list[ValidationPair]:
    """The images, cropped to a multiple of the scale, with their LR by MATLAB's bicubic."""
    whole = [image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale] for image in images]
    return [ValidationPair(imresize(high, Fraction(1, scale)), high) for high in whole]


def bicubic_middles(images: Sequence[NDArray[np.uint8]], side: int, scale: int) -> list[ValidationPair]:
    """The `centre` of each of `bicubic_pairs`, with no more of an image shrunk than that takes: shrinking wants many
    times the memory of what it shrinks."""
    cut: list[NDArray[np.uint8]] = []
    for image in images:
        rows, columns = (middle(length // scale, side + 2 * _CONTEXT, scale) for length in image.shape[:2])
        cut.append(image[rows, columns])
    return [centre(pair, side, scale) for pair in bicubic_pairs(cut, scale)]


def centre(pair: ValidationPair, side: int, scale: int) -> ValidationPair:
    """The middle `side` LR pixels of a pair, or all of it where it is smaller."""
    height, width = pair.low.shape[:2]
    low = pair.low[middle(height, side), middle(width, side)]
    high = pair.high[middle(height, side, scale), middle(width, side, scale)]
    return ValidationPair(low.copy(), high.copy())  # a view would keep the whole image in memory


def middle(length: int, side: int, scale: int = 1) -> slice:
    """The middle `side` of so many LR pixels, or all of them where they are fewer, in pixels of `scale` times them."""
    first = max(0, (length - side) // 2)
    return slice(first * scale, (first + side) * scale)


_CONTEXT: Final = 4
"""LR pixels around it on which a pixel depends: bicubic looks at two."""

CEILING: Final = 45.0
"""The most dB that a picture counts: above it nobody sees a difference. At x1, where some pictures are clean to begin
with, what is left of those would otherwise weigh more than all that is restored."""


def validate(network: LIPT, pairs: Sequence[ValidationPair], device: torch.device) -> float:
    """The mean Y-PSNR in dB, each picture's at most CEILING, of a deployed network in float32, `scale` pixels of
    border cut, at least 2."""
    border = max(network.config.scale, 2)
    scores = [min(psnr_y(upscale(network, pair.low, device), pair.high, border), CEILING) for pair in pairs]
    return math.fsum(scores) / len(scores)


def upscale(network: LIPT, low: Uint8Image, device: torch.device) -> Uint8Image:
    """(h, w, 3) uint8 -> (s h, s w, 3) uint8."""
    image = torch.as_tensor(np.array(low), device=device).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode(), without_tf32():
        result = network(image)[0]
    return result.mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
