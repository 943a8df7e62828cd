"""What a step of training costs in forms of the same network, and whether the merged one is the trained one.

python benchmarks/train_step.py [--models nano tiny] [--forms plain merged reference] [--rounds 9] \\
    [--out benchmarks/results/train_step.json]

- "plain": single 3x3 convolutions, which train without any branches;
- "compiled": the same by torch.compile;
- "merged": `train`'s linear branches, summed into one kernel inside each forward pass;
- "reference": the paper's branches, each run over the picture and normalised by its batch.

A step is a forward pass, L1 loss, backward pass and Adam, on random crops. The forms take turns, so that a busy machine
slows all of them; the figure is the median. "difference" is the largest one between the output (0..1) of the network
as it trains and as it ships, after those steps, in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from results_file import write_result

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.train.start import bilinear_start, branch_out

SCALE = 2


class Stepper:
    """One form of a network and its optimizer."""

    def __init__(self, network: LIPT, *, compiled: bool) -> None:
        self.network = network.train()
        self.forward = torch.compile(network, dynamic=False) if compiled else network
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def step(self, low: torch.Tensor, high: torch.Tensor, dtype: torch.dtype) -> float:
        """Seconds of one step."""
        wait(low.device)
        began = time.perf_counter()
        with torch.autocast(low.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            result = self.forward(low)
        self.optimizer.zero_grad(set_to_none=True)
        F.l1_loss(result.float(), high).backward()
        self.optimizer.step()
        wait(low.device)
        return time.perf_counter() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def network_of(form: str, config: LiptConfig) -> LIPT:
    if form == "reference":
        return LIPT(config, deployed=False)
    start = bilinear_start(config)
    return branch_out(start) if form == "merged" else start


def difference(trained: LIPT, device: torch.device) -> float:
    """The largest difference that deploying makes, in a picture of odd size."""
    image = torch.rand(1, 3, 75, 101, device=device)
    with torch.inference_mode():
        return float((deploy(trained)(image) - trained.eval()(image)).abs().max())


def measure(name: str, arguments: argparse.Namespace, dtype: torch.dtype) -> dict[str, object]:
    device = torch.device(arguments.device)
    config = LiptConfig.named(name, SCALE)
    steppers = {
        form: Stepper(network_of(form, config).to(device), compiled=form == "compiled") for form in arguments.forms
    }
    taken: dict[str, list[float]] = {form: [] for form in steppers}
    for number in range(arguments.rounds + 1):
        low = torch.rand(arguments.batch, 3, arguments.patch, arguments.patch, device=device)
        low = low.contiguous(memory_format=torch.channels_last)
        high = torch.rand(arguments.batch, 3, SCALE * arguments.patch, SCALE * arguments.patch, device=device)
        for form, stepper in steppers.items():
            seconds = stepper.step(low, high, dtype)
            if number:  # the first round allocates and chooses kernels
                taken[form].append(seconds)
    medians = {form: statistics.median(values) for form, values in taken.items()}
    return {
        "model": f"{name}-x{SCALE}",
        "seconds_per_step": {form: round(median, 4) for form, median in medians.items()},
        f"of_{arguments.forms[0]}": {
            form: round(median / medians[arguments.forms[0]], 2) for form, median in medians.items()
        },
        "difference": {
            form: difference(steppers[form].network, device)
            for form in arguments.forms
            if form in ("merged", "reference")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["nano", "tiny"])
    every = ("plain", "compiled", "merged", "reference")
    parser.add_argument("--forms", nargs="+", choices=every, default=["plain", "merged", "reference"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rows: list[dict[str, object]] = []
    for name in arguments.models:
        rows.append(measure(name, arguments, getattr(torch, arguments.precision)))
        print(rows[-1], flush=True)
    write_result(
        arguments.out,
        batch=arguments.batch,
        patch=arguments.patch,
        precision=arguments.precision,
        device=arguments.device,
        threads=torch.get_num_threads(),
        rounds=arguments.rounds,
        networks=rows,
    )


if __name__ == "__main__":
    main()
