"""Weights out of other weights, by the scripts that make some of those that ship."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import torch

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import load_weights, save_weights
from tests.model.small_weights import INFO

SCRIPTS = Path(__file__).parents[1] / "scripts"


def run(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: str | Path) -> None:
    monkeypatch.setattr("sys.argv", [script, *map(str, arguments)])
    runpy.run_path(str(SCRIPTS / script), run_name="__main__")


def saved(path: Path, config: LiptConfig, name: str) -> LIPT:
    network = LIPT(config, deployed=True)
    save_weights(path, network, dataclasses.replace(INFO, name=name))
    return network


def test_what_lies_between_two_networks_and_nothing_between_two_kinds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, other, result = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "other", "result"))
    first, second = (saved(path, LiptConfig(2, 4, 2, 1, 4), path.stem) for path in (a, b))
    saved(other, LiptConfig(2, 8, 2, 1, 4), "of another kind")
    run(monkeypatch, "average_weights.py", a, b, "0.25", "--out", result)
    network, info = load_weights(result)
    assert info.name == "a"
    for mine, one, two in zip(network.parameters(), first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine, 0.75 * one + 0.25 * two)
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "average_weights.py", a, other, "0.5", "--out", result)
    assert "are different networks" in capsys.readouterr().err


def test_a_network_of_twice_the_width_is_the_mean_of_two_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly: it attends by what both see."""
    body = saved(tmp_path / "nano-x2.safetensors", LiptConfig.named("nano", 2), "nano-x2").eval()
    run(monkeypatch, "grow_weights.py", tmp_path / "nano-x2.safetensors", "tiny", "--out", tmp_path / "grown")
    grown, info = load_weights(tmp_path / "grown")
    assert (info.name, info.licence, grown.config) == ("tiny of nano-x2", INFO.licence, LiptConfig.named("tiny", 2))
    picture = torch.rand(1, 3, 24, 40)
    with torch.inference_mode():
        known, found = body(picture), grown(picture)
        both = (known + body(picture.mT).mT) / 2
    assert (found - both).abs().mean() < (known - both).abs().mean() / 4
