"""Weights between two networks, by the script that makes those that ship."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import torch

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import load_weights, save_weights
from tests.model.small_weights import INFO

SCRIPT = Path(__file__).parents[1] / "scripts" / "average_weights.py"


def saved(path: Path, channels: int, name: str) -> LIPT:
    network = LIPT(LiptConfig(2, channels, 2, 1, 4), deployed=True)
    save_weights(path, network, dataclasses.replace(INFO, name=name))
    return network


def test_what_lies_between_two_networks_and_nothing_between_two_kinds(tmp_path: Path) -> None:
    a, b, other, result = (tmp_path / f"{name}.safetensors" for name in ("a", "b", "other", "result"))
    first, second = saved(a, 4, "the first"), saved(b, 4, "the second")
    saved(other, 8, "of another kind")
    command = [sys.executable, str(SCRIPT)]
    subprocess.run([*command, a, b, "0.25", "--out", result], check=True, timeout=120)
    network, info = load_weights(result)
    assert info.name == "the first"
    for mine, one, two in zip(network.parameters(), first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine, 0.75 * one + 0.25 * two)
    refused = subprocess.run(
        [*command, a, other, "0.5", "--out", result], check=False, capture_output=True, text=True, timeout=120
    )
    assert refused.returncode == 2
    assert "are different networks" in refused.stderr
