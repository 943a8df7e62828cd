"""A run as small as one can be, on images made here, with a clock that the test moves."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))  # for driven_run

from driven_run import MakeTrainer

from lipt_stream.train import loop
from lipt_stream.train.batches import Batch, BicubicBatches
from lipt_stream.train.images import PackedImages
from lipt_stream.train.loop import Trainer
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.start import bilinear_start
from lipt_stream.train.validation import bicubic_pairs

CPU = torch.device("cpu")
TRIALS = 2
"""Batches that a run draws before its first step, of the shapes that are to come."""


def waves(height: int, width: int, phase: float = 0.0) -> np.ndarray:
    """(H, W, 3) uint8 with slopes and edges of a photograph's kind."""
    y, x = np.mgrid[:height, :width]
    gray = 120 + 50 * np.sin(x / 5 + phase) * np.cos(y / 7) + 30 * ((x // 11 + y // 9) % 2)
    return np.clip(np.stack([gray, 0.8 * gray, gray + 20], axis=2), 0, 255).astype(np.uint8)


class Ticks:
    """A clock that is `step_seconds` later each time it is looked at; binary fractions, so that sums are exact."""

    def __init__(self, step_seconds: float = 0.25) -> None:
        self.now, self.step = 1000.0, step_seconds

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class NanAt:
    """Batches as others make them, but that of one step, counted from 1, is not a number."""

    def __init__(self, batches: BicubicBatches, step: int) -> None:
        self._batches, self._left = batches, TRIALS + step

    def draw(self, count: int, patch: int, generator: torch.Generator) -> Batch:
        self._left -= 1
        low, high = self._batches.draw(count, patch, generator)
        return Batch(low * torch.nan if self._left == 0 else low, high)


@pytest.fixture(autouse=True)
def one_thread() -> Generator[None]:
    """Pictures this small gain nothing from a second thread, and on a busy machine wait for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks, checkpoints and validations at a pace at which a short run meets all of them."""
    monkeypatch.setattr(loop, "LOOK_EVERY", 5)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 2.0)
    monkeypatch.setattr(loop, "VALIDATION_SECONDS", 3.0)


@pytest.fixture
def spec() -> TrainSpec:
    """240 steps of Ticks."""
    return TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16, warmup_share=0.1)


@pytest.fixture
def make_trainer(spec: TrainSpec, tmp_path: Path) -> MakeTrainer:
    """make(name, **arguments of Trainer): a run in its own folder, always with the same start."""
    images = [waves(60, 52), waves(48, 64, 1.0)]

    def make(name: str, **changes: object) -> Trainer:
        torch.manual_seed(3)
        arguments = {"clock": Ticks(changes.pop("step_seconds", 0.25)), "device": CPU} | changes
        batches = BicubicBatches(PackedImages(list(images), arguments["device"]), 2)
        nan_at = arguments.pop("nan_at", None)
        source = NanAt(batches, nan_at) if nan_at else batches
        (tmp_path / name).mkdir(exist_ok=True)
        start = bilinear_start(spec.config)
        return Trainer(
            arguments.pop("spec", spec), start, source, bicubic_pairs(images, 2), tmp_path / name, **arguments
        )

    return make


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of images as PNG, one of them in a folder below."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "c.png", "more/d.png")):
        Image.fromarray(waves(70 + number, 64, number)).save(folder / name)
    return folder
