"""Files of weights that are whole: ours and the reference's."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lipt_stream.errors import OutputError, WeightsError
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import load_weights, save_weights
from tests.model.small_weights import DATA, INFO, TINY

CONFIGS = {
    "tiny24_x2": LiptConfig(2, 24, 8, 1, 8),
    "c32m4_x3": LiptConfig(3, 32, 4, 1, 8),
    "c32m2n0w16_x4": LiptConfig(4, 32, 2, 0, 16),
    "c24m2_x1": LiptConfig(1, 24, 2, 1, 8),
}


def assert_gives_the_stored_output(folder: Path, name: str, form: str) -> None:
    model, info = load_weights(folder / f"{name}_{form}.pt")
    assert model.config == CONFIGS[name]
    assert model.deployed == (form == "deploy")
    assert not model.training
    assert (info.name, info.scale, info.origin) == (f"{name}_{form}", CONFIGS[name].scale, "reference")
    with np.load(folder / f"{name}_io.npz") as stored:
        x = torch.from_numpy(stored["x"]) / 255
        expected = torch.from_numpy(stored["y" if form == "train" else "y_deploy"])
    with torch.inference_mode():
        torch.testing.assert_close(model(x) * 255, expected, atol=2e-3, rtol=0)
        torch.testing.assert_close(deploy(model)(x), model(x), atol=1e-4, rtol=0)


@pytest.mark.parametrize("form", ["train", "deploy"])
def test_reference_checkpoint_gives_the_references_output(form: str) -> None:
    assert_gives_the_stored_output(DATA, "c24m2_x1", form)


@pytest.mark.parametrize("form", ["train", "deploy"])
@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "c24m2_x1"])
def test_shared_reference_checkpoint_gives_the_references_output(shared: Path, name: str, form: str) -> None:
    assert_gives_the_stored_output(shared / "fixtures", name, form)


def test_the_training_form_keeps_its_statistics() -> None:
    trained, _ = load_weights(DATA / "c24m2_x1_train.pt")
    again, _ = load_weights(DATA / "c24m2_x1_deploy.pt")
    for name, tensor in deploy(trained).state_dict().items():
        torch.testing.assert_close(tensor, again.state_dict()[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("deployed", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_is_saved_is_loaded(tmp_path: Path, deployed: bool, dtype: torch.dtype) -> None:
    model = LIPT(TINY, deployed=deployed).to(dtype, memory_format=torch.channels_last)
    save_weights(tmp_path / "test.safetensors", model, INFO)
    loaded, info = load_weights(tmp_path / "test.safetensors")
    assert info == INFO
    assert (loaded.config, loaded.deployed) == (TINY, deployed)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype in (torch.float32, torch.int64)
        assert torch.equal(tensor, model.state_dict()[name].to(tensor.dtype))
    assert [path.name for path in tmp_path.iterdir()] == ["test.safetensors"]


def test_the_content_tells_the_format_not_the_name(tmp_path: Path) -> None:
    shutil.copy(DATA / "c24m2_x1_deploy.pt", tmp_path / "weights.safetensors")
    assert load_weights(tmp_path / "weights.safetensors")[1].origin == "reference"


def test_the_window_of_a_reference_checkpoint_can_be_given() -> None:
    assert load_weights(DATA / "c24m2_x1_deploy.pt", window=16)[0].config.window == 16


def test_a_window_that_would_take_all_memory_is_refused() -> None:
    with pytest.raises(WeightsError, match="window must be even and from 2 to 64, not 1000000"):
        load_weights(DATA / "c24m2_x1_deploy.pt", window=1_000_000)


def test_our_files_know_their_window(tmp_path: Path) -> None:
    save_weights(tmp_path / "test.safetensors", LIPT(TINY, deployed=True), INFO)
    assert load_weights(tmp_path / "test.safetensors", window=4)[0].config.window == 4
    with pytest.raises(WeightsError, match="window of 4, not 8"):
        load_weights(tmp_path / "test.safetensors", window=8)


def test_saving_refuses_another_scale(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="x3"):
        save_weights(tmp_path / "test.safetensors", LIPT(TINY, deployed=True), dataclasses.replace(INFO, scale=3))


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write"):
        save_weights(tmp_path / "missing" / "test.safetensors", LIPT(TINY, deployed=True), INFO)
