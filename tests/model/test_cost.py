"""The formula against a count of every multiplication while the network runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lipt_stream.model.attention import Attention
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.cost import multiply_adds
from lipt_stream.model.lipt import LIPT

SIDE = 32  # a multiple of every window

CONFIGS = [
    *(LiptConfig.named(name, scale) for name in ("nano", "tiny", "tiny24", "small") for scale in (1, 2, 4)),
    LiptConfig(2, channels=8, units=6, shared=2, window=4),
    LiptConfig(3, channels=8, units=2, shared=0, window=16, scattered=True, sampled_values=True),
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_hooks_count_the_same(config: LiptConfig) -> None:
    network = LIPT(config, deployed=True).eval()
    counted = 0

    def convolution(module: nn.Conv2d, _inputs: Any, output: torch.Tensor) -> None:
        nonlocal counted
        counted += output.numel() * module.weight[0].numel()

    def attention(_module: Attention, _inputs: Any, output: Any) -> None:
        nonlocal counted
        for queries in output[1]:  # (windows high, windows wide, p p, c/2), of the dense and of the sparse half
            tokens, depth = queries.shape[-2:]
            counted += 2 * queries.shape[0] * queries.shape[1] * tokens * tokens * depth

    def tail(module: LIPT, _inputs: Any, output: torch.Tensor) -> None:  # it runs without its module's call
        nonlocal counted
        counted += output.numel() * module.tail.weight[0].numel()

    network.register_forward_hook(tail)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(convolution)
        elif isinstance(module, Attention):
            module.register_forward_hook(attention)
    with torch.inference_mode():
        network(torch.rand(1, 3, SIDE, SIDE))
    assert multiply_adds(config) * SIDE * SIDE == counted


def test_torch_counts_the_same() -> None:
    """By torch's own counter, which knows nothing of the network's modules."""
    config = LiptConfig.named("tiny", 2)
    network = LIPT(config, deployed=True).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.rand(1, 3, SIDE, SIDE))
    assert counter.get_total_flops() == 2 * multiply_adds(config) * SIDE * SIDE


def test_networks_are_ordered_by_their_cost() -> None:
    costs = [multiply_adds(LiptConfig.named(name, 2)) for name in ("nano", "tiny", "small", "base")]
    assert costs == sorted(costs)
