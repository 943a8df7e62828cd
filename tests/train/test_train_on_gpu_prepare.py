"""What scripts/train_on_gpu packs for the way, and what it leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from gpu_script import in_this_process, prepared
from PIL import Image


def test_what_travels_fits_with_its_degraded_halves_which_are_larger(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in [*photos.glob("*.png"), *(photos / "more").glob("*.png")]:
        with Image.open(path) as image:
            larger = image.convert("RGB").resize((300, 300), Image.Resampling.BICUBIC)
        path.unlink()
        larger.save(path.with_suffix(".jpg"), quality=30)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # no processes for four small pictures
    prepared(monkeypatch, photos, tmp_path / "data", "--pairs", "denoise", "--mb", 0.7)
    assert sum(path.stat().st_size for path in (tmp_path / "data").iterdir()) < 0.75e6  # tar adds its blocks
    said = capsys.readouterr().out
    assert "of 3 images, 1 to validate by" in said
    assert "3 of 3" not in said


def test_a_copy_of_what_is_validated_by_does_not_travel_whatever_its_format(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is validated by in part only, so that on the machine nobody could tell."""
    y, x = np.mgrid[:900, :900]
    large = Image.fromarray(np.stack([x % 251, y % 249, (x + y) % 247], axis=2).astype(np.uint8))
    large.save(photos / "more" / "large.png")
    large.save(photos / "copy.bmp")
    prepared(monkeypatch, photos, tmp_path / "data")
    assert "3 of 3 images, 2 to validate by" in capsys.readouterr().out


def test_images_that_cannot_be_read_are_named_and_stay_behind(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.png").write_bytes(b"none")
    (photos / "gone.png").symlink_to(tmp_path / "nowhere")
    (photos / "more" / "bad.png").write_bytes(b"none")
    (photos / "film.mp4").touch()
    (photos / "song.mp3").touch()
    prepared(monkeypatch, photos, tmp_path / "data")
    said = capsys.readouterr()
    assert "3 of 3 images, 1 to validate by" in said.out
    left_out = sorted({line.split(" cannot be read")[0] for line in said.err.splitlines()})
    others = ["left out: 1 file of other kinds (.mp3 1)", f"left out: 1 film in {photos}: they do not travel"]
    unread = [f"left out: {photos / name}" for name in ("broken.png", "gone.png", "more/bad.png")]
    assert left_out == unread + others


def test_nothing_is_packed_where_nothing_is_left(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"none")
    for valid, words in (
        (photos, "No image is left to train on. Give others"),
        (broken, "No image is left to validate by. Give others"),
    ):
        command = ("prepare", "--data", photos, "--valid", valid, "--out", tmp_path / "data")
        assert in_this_process(monkeypatch, *command) == 1
        assert f"error: {words}" in capsys.readouterr().err
    assert list((tmp_path / "data").iterdir()) == []
