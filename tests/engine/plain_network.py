"""A network of random weights in plain float32, the runtimes that are here, and how far their results may be off."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from lipt_stream.engine import runtimes
from lipt_stream.engine.runtimes import make_runtime
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT

CPU = torch.device("cpu")
LEAST_PSNR = {"float32": 100, "bfloat16": 40}  # dB below full scale, for the random networks here
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")
needs_bfloat16 = pytest.mark.skipif(not runtimes.torch_has_bfloat16(), reason="no bfloat16 on this CPU")
EVERY = [
    pytest.param("torch", "float32"),
    pytest.param("torch", "bfloat16", marks=needs_bfloat16),
    pytest.param("openvino", "float32", marks=needs_openvino),
    pytest.param("openvino", "bfloat16", marks=[needs_openvino, needs_bfloat16]),
]


def random_network(config: LiptConfig, *, deployed: bool = True) -> LIPT:
    """Random weights, their biases too, at torch's own initial scale: outputs stay near the input's range."""
    torch.manual_seed(3)
    return LIPT(config, deployed=deployed).eval()


def plain(network: LIPT, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return network(images)


def psnr(result: torch.Tensor, expected: torch.Tensor) -> float:
    return -10 * float((result.double() - expected.double()).square().mean().clamp(min=1e-20).log10())


def on_cpu(network: LIPT, runtime: str, precision: str = "float32", threads: int | None = None) -> runtimes.Runtime:
    return make_runtime(network, device=CPU, precision=precision, runtime=runtime, threads=threads)
