"""What a run is judged by: which images are held back from training, and which tell nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from lipt_stream.errors import InputError
from lipt_stream.train import materials as materials_module
from lipt_stream.train.materials import Folders, Materials, load_materials
from lipt_stream.train.spec import TrainSpec

SPEC = TrainSpec("nano", minutes=1.0, batch=2, patch=8, tail_patch=16)


def materials(spec: TrainSpec, photos: Path, out: Path, valid: Path | None = None) -> Materials:
    return load_materials(spec, Folders([photos], valid, out, out / "pairs"), torch.device("cpu"))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape, np.uint8)


def title_card() -> np.ndarray:
    """With something at its rim, and one colour in its middle."""
    card = noise(64, 64, 3)
    card[10:54, 10:54] = 255
    return card


@pytest.mark.parametrize("degrade", ["bicubic", "video"])
def test_no_network_is_judged_by_one_colour(photos: Path, tmp_path: Path, degrade: Literal["bicubic", "video"]) -> None:
    """All of them score the same on it, and the mean would look better than it is."""
    spec = dataclasses.replace(SPEC, degrade=degrade)
    valid = tmp_path / "valid"
    valid.mkdir()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(valid / "black.png")
    with pytest.raises(InputError, match=r"None of 1 images to validate by can be used: .*one colour only"):
        materials(spec, photos, tmp_path / "out", valid)
    Image.fromarray(noise(64, 64, 3)).save(valid / "picture.png")
    found = materials(spec, photos, tmp_path / "out", valid)
    assert len(found.validation) == 1
    assert [skipped.path.name for skipped in found.skipped] == ["black.png"]


def test_a_twentieth_is_held_back(photos: Path, tmp_path: Path) -> None:
    found = materials(SPEC, photos, tmp_path)
    assert (found.images, len(found.validation), found.skipped) == ("3 images", 1, [])


def test_a_bad_first_image_is_not_what_is_held_back(photos: Path, tmp_path: Path) -> None:
    (photos / "0.png").write_bytes(b"none")
    Image.fromarray(noise(20, 20, 3)).save(photos / "1.png")
    found = materials(SPEC, photos, tmp_path)
    assert (found.images, len(found.validation)) == ("3 images", 1)
    assert [skipped.path.name for skipped in found.skipped] == ["0.png", "1.png"]


@pytest.mark.parametrize("degrade", ["bicubic", "video"])
def test_what_is_held_back_can_be_read_and_tells_networks_apart(
    photos: Path, tmp_path: Path, degrade: Literal["bicubic", "video"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one that is cut off behind its head, nor a title card, which has nothing where it is looked at."""
    monkeypatch.setattr(materials_module, "VALIDATION_SIDE", 16)
    cut_off = (photos / "a.png").read_bytes()
    (photos / "0.png").write_bytes(cut_off[: len(cut_off) // 2])
    Image.fromarray(title_card()).save(photos / "1.png")
    found = materials(dataclasses.replace(SPEC, degrade=degrade), photos, tmp_path)
    assert (found.images, len(found.validation)) == ("4 images", 1)
    assert [skipped.path.name for skipped in found.skipped] == ["0.png"]


def test_a_title_card_among_others_is_left_out(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materials_module, "VALIDATION_SIDE", 16)
    valid = tmp_path / "valid"
    valid.mkdir()
    Image.fromarray(noise(64, 64, 3)).save(valid / "picture.png")
    Image.fromarray(title_card()).save(valid / "card.png")
    found = materials(SPEC, photos, tmp_path / "out", valid)
    assert len(found.validation) == 1
    reason = f"{valid / 'card.png'} has one colour only in its middle, by which no network can be judged"
    assert [skipped.reason for skipped in found.skipped] == [reason]


def test_no_more_are_held_back_than_a_validation_has_time_for(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials_module, "HELD_BACK", 1)
    monkeypatch.setattr(materials_module, "MOST_HELD_BACK", 2)
    found = materials(SPEC, photos, tmp_path)
    assert (found.images, len(found.validation)) == ("2 images", 2)


def test_films_among_what_is_to_be_validated_by_are_named(photos: Path, tmp_path: Path) -> None:
    valid = tmp_path / "valid"
    valid.mkdir()
    Image.fromarray(noise(64, 64, 3)).save(valid / "picture.png")
    (valid / "film.mp4").touch()
    found = materials(SPEC, photos, tmp_path / "out", valid)
    assert [skipped.reason for skipped in found.skipped] == [f"1 film in {valid}: images are validated by"]
