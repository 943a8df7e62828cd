"""The weights in the repository are what their index says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lipt_stream.errors import SettingsError, WeightsError
from lipt_stream.model import catalog
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.weights import load_weights


def test_every_entry_is_its_file() -> None:
    entries = catalog.entries()
    assert {"nano-x2", "tiny-x2"} <= {entry.name for entry in entries}
    for entry in entries:
        catalog.verify(entry)
        model, info = load_weights(catalog.path_of(entry))
        assert model.config == LiptConfig.named(entry.model, entry.scale)
        assert model.deployed
        assert (info.name, info.task, info.scale) == (entry.name, entry.task, entry.scale)
        assert (info.licence, info.origin) == ("Apache-2.0", "lipt-stream")
        assert (info.scores, info.ssim) == (entry.psnr, entry.ssim)
        assert (info.training_data, info.steps, info.minutes) == (entry.data, entry.steps, entry.minutes)
        assert (info.machine, info.curve) == (entry.machine, entry.curve)
        assert not entry.curve or (catalog.CHECKOUT.parent / entry.curve).is_file()
        assert info.training_data


def test_no_file_is_without_an_entry() -> None:
    files = {path.name for path in catalog.weights_dir().glob("*.safetensors")}
    assert files == {entry.file for entry in catalog.entries()}
    assert sum((catalog.weights_dir() / name).stat().st_size for name in files) < 40e6


def test_a_network_and_a_scale_or_a_full_name_find_weights() -> None:
    assert catalog.find("nano", 2).name == "nano-x2-video"  # what people upscale has been through an encoder
    assert catalog.find("nano-x2", 2).content == "clean"
    assert catalog.find("tiny-x2", 4).name == "tiny-x2"
    assert catalog.find("tiny", 4).name == "tiny-x4-video"


def test_at_scale_one_an_encoders_artefacts_come_before_noise() -> None:
    assert catalog.find("nano", 1).task == "deblock"
    assert catalog.find("nano-x1-denoise", 1).task == "denoise"


def test_readme_shows_what_the_index_says() -> None:
    """The table is made by `lipt-stream eval --all`, the index by the same measurements."""
    lines = (catalog.CHECKOUT.parent / "README.md").read_text(encoding="utf-8").splitlines()
    table = [cells for line in lines if len(cells := [cell.strip() for cell in line.split("|")]) == 7]
    rows = {(cells[1], cells[2]) for cells in table if cells[1].startswith("x")}
    scored = [entry for entry in catalog.entries() if entry.task == "sr"]
    plain = {(f"x{entry.scale}", name) for entry in scored for name in ("bicubic", "lanczos")}
    assert rows == plain | {(f"x{entry.scale}", entry.name) for entry in scored}
    shown = {cells[2]: cells[4:6] for cells in table}
    for entry in scored:
        figures = [f"{entry.psnr[name]:.2f} / {entry.ssim[name]:.4f}" for name in ("Set5", "Set14")]
        assert shown[entry.name] == figures


def test_an_unknown_name_is_answered_with_near_ones() -> None:
    with pytest.raises(SettingsError) as error:
        catalog.find("nanno", 4)
    assert error.value.hint == "Did you mean nano or nano-x4?"
    with pytest.raises(SettingsError, match="Did you mean nano-x2"):
        catalog.find("NANO-X2", 2)


def test_a_scale_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(SettingsError, match="tiny for x1") as error:
        catalog.find("tiny", 1)
    assert error.value.hint == "They come for x2, x3, x4"


def test_the_first_network_that_has_the_scale() -> None:
    assert catalog.first_with_weights(("nano", "tiny"), 2) == "nano"
    assert catalog.first_with_weights(("tiny", "nano"), 2) == "tiny"
    assert catalog.first_with_weights(("huge", "tiny"), 4) == "tiny"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the weights that a test may damage."""
    folder = tmp_path / "weights"
    shutil.copytree(catalog.weights_dir(), folder)
    monkeypatch.setattr(catalog, "INSTALLED", folder)
    return folder


def test_a_changed_file_is_noticed(copied: Path) -> None:
    entry = catalog.find("nano", 2)
    content = bytearray((copied / entry.file).read_bytes())
    content[-1] ^= 1
    (copied / entry.file).write_bytes(content)
    with pytest.raises(WeightsError, match="checksum"):
        catalog.verify(entry)


def test_a_missing_file_is_noticed(copied: Path) -> None:
    entry = catalog.find("nano", 2)
    (copied / entry.file).unlink()
    with pytest.raises(WeightsError, match="Cannot read"):
        catalog.verify(entry)


@pytest.mark.parametrize("index", ["weights = 3", "[[weights]]\nname = 'x'", "[[", ""])
def test_a_broken_index_is_a_weights_error(copied: Path, index: str) -> None:
    (copied / "index.toml").write_text(index)
    with pytest.raises(WeightsError, match="no index"):
        catalog.entries()


def test_a_missing_index_is_a_weights_error(copied: Path) -> None:
    (copied / "index.toml").unlink()
    with pytest.raises(WeightsError, match="Cannot read"):
        catalog.entries()
