"""Weights that are broken, missing or of another scale, through the command's own main()."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lipt_stream.model.catalog import find, path_of
from lipt_stream.model.weights import load_weights, save_weights
from tests.cli.upscale_here import Command, nothing_written


def broken_weights(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.safetensors"
    if kind == "other":
        save_file({"conv.weight": torch.zeros(8, 3, 3, 3)}, path)
    elif kind == "pickle":
        path = folder / "pickle.pt"
        torch.save({"model": print}, path)
    elif kind == "resnet":
        path = folder / "resnet.pth"
        torch.save({"layer1.0.conv1.weight": torch.zeros(8, 3, 3, 3)}, path)
    elif kind == "nan":
        network, info = load_weights(path_of(find("nano-x2", 2)))
        with torch.no_grad():
            next(network.parameters())[0] = float("nan")
        save_weights(path, network, info)
    elif kind == "cut":
        path.write_bytes(path_of(find("nano-x2", 2)).read_bytes()[:-1_000])
    elif kind == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other", "safetensors file with no format in its metadata, not lipt-stream/1. Give one of lipt-stream's"),
        ("pickle", "holds more than tensors, and running code from it was refused. Use weights you trust"),
        ("resnet", "holds no LIPT network (it holds layer1.0.conv1.weight, ...). Give one of lipt-stream's"),
        ("nan", "has NaN or infinite numbers in"),
        ("cut", "It is damaged or incomplete: copy or download it again"),
        ("missing", "No weights file at"),
        ("directory", "weights"),
    ],
)
def test_wrong_weights(upscale: Command, tmp_path: Path, clip: Path, kind: str, words: str) -> None:
    weights = broken_weights(tmp_path, kind)
    done = upscale(clip, "x.mp4", "--device", "cpu", "--model", weights)
    assert done.code == 1
    assert words in done.line
    assert str(weights) in done.line
    assert nothing_written()


def test_weights_of_another_scale(upscale: Command, clip: Path) -> None:
    done = upscale(clip, "x.mp4", "--device", "cpu", "--model", path_of(find("nano-x2", 2)), "--scale", "3")
    assert done.code == 2
    assert "upscales x2, not x3. Use --scale 2" in done.line
    assert nothing_written()
