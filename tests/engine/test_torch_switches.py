"""Torch's own switches: what they cost is kept out of the results, and the host finds them as it left them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from lipt_stream.engine import runtimes
from lipt_stream.engine.runtimes import TorchRuntime
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from tests.engine.plain_network import CPU, random_network


@pytest.fixture(scope="module")
def nano() -> LIPT:
    return random_network(LiptConfig.named("nano", 2))


def test_float32_is_not_rounded_to_tf32_and_the_hosts_switches_are_left_alone():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled
    with runtimes.without_tf32():
        assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled) == (False, *before[1:])
    assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.enabled) == before


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpus_attention_is_torchs_own_its_float32_exact_and_the_hosts_switches_are_left_alone(nano, precision):
    """cuDNN's attention, which torch from 2.11 on would take on Hopper, stops for every new size. Pictures on a GPU by
    name. In half precision the tail is in float32."""
    seen: list[tuple[bool, bool]] = []

    def network(images: torch.Tensor) -> torch.Tensor:
        seen.append((torch.backends.cuda.cudnn_sdp_enabled(), torch.backends.cudnn.allow_tf32))
        return images

    run = TorchRuntime(nano, CPU, precision)
    run._network = network  # type: ignore[assignment]
    with FakeTensorMode():
        for host in (True, False):
            torch.backends.cuda.enable_cudnn_sdp(host)
            run(torch.empty(1, 3, 8, 8, device="cuda"))
            assert torch.backends.cuda.cudnn_sdp_enabled() is host
            torch.backends.cuda.enable_cudnn_sdp(True)
    assert seen == [(False, False), (False, False)]


SWITCHES = """
import os
import torch
from lipt_stream.engine.runtimes import without_tf32

def holds(said):
    exec(said)
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    for _ in range(2):
        with without_tf32():
            assert conv.fp32_precision in ("ieee", "none"), (said, conv.fp32_precision)
        assert conv.fp32_precision == before, said

for said in (
    'torch.backends.cudnn.conv.fp32_precision = "ieee"',
    'torch.backends.cudnn.conv.fp32_precision = "tf32"',
    'torch.backends.fp32_precision = "tf32"',
    "torch.backends.cudnn.allow_tf32 = False",
):
    child = os.fork()
    if not child:
        holds(said)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="torch before 2.9")
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_float32_is_exact_whatever_switches_of_torch_the_host_has_set():
    # Apart: these switches are the whole process's.
    done = subprocess.run([sys.executable, "-c", SWITCHES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
