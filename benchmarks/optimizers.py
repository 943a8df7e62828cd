"""What the optimizer brings in the first minutes: SOAP against Adam, with and without the paper's branches.

    python benchmarks/optimizers.py --data ../shared/data/train --valid ../shared/data/valid \\
        --steps 600 --seeds 0 1 --out benchmarks/results/optimizers.json

x2 from the bilinear start, each row the same number of steps on the same crops, each optimizer at several learning
rates; Y-PSNR of the moving average on the validation images, the test sets untouched, and the median time of a step.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from results_file import write_result
from step_budget import CPU, budget_arguments, trained
from torch import nn

from lipt_stream.train.materials import Folders, Materials, load_materials
from lipt_stream.train.soap import Soap
from lipt_stream.train.spec import TrainSpec
from lipt_stream.train.validation import validate


class Adam:
    """torch's, as `train` uses SOAP."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._adam = torch.optim.Adam(parameters, fused=True)
        self.zero_grad, self.state_dict = self._adam.zero_grad, self._adam.state_dict

    def step(self, learning_rate: float) -> None:
        for group in self._adam.param_groups:
            group["lr"] = learning_rate
        self._adam.step()


ROWS = [
    (optimizer, branches, rate)
    for optimizer, branches, rates in (
        (Adam, True, (1.5e-3, 3e-3)),
        (Adam, False, (3e-3,)),
        (Soap, True, (3e-3,)),
        (Soap, False, (1.5e-3, 3e-3, 6e-3)),
    )
    for rate in rates
]


def compared(spec: TrainSpec, optimizer: type[Any], materials: Materials) -> tuple[float, float]:
    """(validation PSNR at the end in dB, median seconds of a step)."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, seconds = trained(spec, spec.config, materials, Path(folder), optimizer)
    return validate(trainer.result(), materials.validation, CPU), seconds


def main() -> None:
    parser = budget_arguments(__doc__, steps=600)
    parser.add_argument("--model", default="nano")
    arguments = parser.parse_args()
    spec = TrainSpec(
        arguments.model, minutes=arguments.steps / 60, batch=arguments.batch, patch=arguments.patch, tail_patch=64
    )
    materials = load_materials(spec, Folders([arguments.data], arguments.valid, out=Path(), pairs=Path()), CPU)
    results: list[dict[str, Any]] = []
    for optimizer, branches, rate in ROWS:
        runs = [
            compared(replace(spec, seed=seed, branches=branches, learning_rate=rate), optimizer, materials)
            for seed in arguments.seeds
        ]
        psnrs, ms = [round(psnr, 3) for psnr, _ in runs], round(1e3 * statistics.median(each for _, each in runs))
        name = f"{optimizer.__name__}{', branches' if branches else ''}, {rate:g}"
        results.append({"name": name, "psnr_y": psnrs, "step_ms": ms})
        print(f"{name:24} {statistics.fmean(psnrs):.3f} dB ({', '.join(map(str, psnrs))}), {ms} ms a step", flush=True)
    settings = {name: getattr(arguments, name) for name in ("model", "steps", "seeds", "batch", "patch")}
    write_result(arguments.out, **settings, rows=results)


if __name__ == "__main__":
    main()
