"""What a training run shows of itself: the curves of its log, and LR | bicubic | network | HR side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lipt_stream.errors import OutputError
from lipt_stream.model.lipt import LIPT
from lipt_stream.train.imresize import imresize
from lipt_stream.train.validation import ValidationPair, centre, upscale

STILLS: Final = 4
STILL_SIDE: Final = 96
"""LR pixels of a still's side."""


def draw_curves(log: Path, picture: Path) -> bool:
    """Loss, learning rate and validation PSNR over the steps of a `log.jsonl`, as a PNG. OutputError where it cannot be
    written.

    Returns whether it was drawn: not without matplotlib (the extra `plots`).
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return False
    lines: list[dict[str, Any]] = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure: Any = Figure(figsize=(9, 7), layout="constrained")
    loss, psnr = figure.subplots(2, 1, sharex=True)
    steps = [line["step"] for line in lines]
    loss.plot(steps, [line["loss"] for line in lines], linewidth=0.7)
    loss.set(yscale="log", ylabel="loss")
    rate = loss.twinx()
    rate.plot(steps, [line["learning_rate"] for line in lines], color="tab:orange", linewidth=0.8)
    rate.set_ylabel("learning rate", color="tab:orange")
    measured = [(line["step"], line["psnr_y"]) for line in lines if line["psnr_y"] is not None]
    psnr.plot([step for step, _ in measured], [value for _, value in measured], marker=".")
    psnr.set(xlabel="step", ylabel="validation Y-PSNR, dB")
    psnr.grid(alpha=0.3)
    try:
        figure.savefig(picture, dpi=100)
    except OSError as error:
        raise OutputError(f"Cannot write {picture}: {error.strerror}", "Check the folder and its space") from error
    return True


def draw_stills(network: LIPT, pairs: Sequence[ValidationPair], picture: Path, device: torch.device) -> None:
    """The middle of the first validation images: LR (enlarged by repetition) | bicubic | network | HR, as a PNG."""
    network = network.to(device)
    rows = [_row(network, centre(pair, STILL_SIDE, network.config.scale), device) for pair in pairs[:STILLS]]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    try:
        Image.fromarray(np.concatenate(padded)).save(picture)
    except OSError as error:
        raise OutputError(f"Cannot write {picture}: {error.strerror}", "Check the folder and its space") from error


def _row(network: LIPT, pair: ValidationPair, device: torch.device) -> NDArray[np.uint8]:
    s = network.config.scale
    repeated = pair.low.repeat(s, axis=0).repeat(s, axis=1)
    parts = (repeated, imresize(pair.low, s), upscale(network, pair.low, device), pair.high)
    gap = np.full((pair.high.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([image for part in parts for image in (part, gap)][:-1], axis=1)
