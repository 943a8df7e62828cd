"""Two ways in which the sparse half of attention could work, against the paper's implementation, at equal budget.

    python benchmarks/attention_variants.py --data ../shared/data/train --valid ../shared/data/valid \\
        --steps 1200 --seeds 0 1 --out benchmarks/results/attention_variants.json

nano x2 from the bilinear start, each variant the same number of steps on the same crops; Y-PSNR of the moving average
on the validation images, the test sets untouched. What a variant costs is shown as the median time of a step and of
one deployed pass over 640x360 pixels in OpenVINO (torch where it is not installed).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from results_file import write_result
from step_budget import CPU, budget_arguments, trained

from lipt_stream.engine.runtimes import make_runtime
from lipt_stream.model.lipt import LIPT
from lipt_stream.train.materials import Folders, load_materials
from lipt_stream.train.spec import TrainSpec

VARIANTS = {
    "the paper's": (False, False),
    "scattered": (True, False),
    "sampled values": (False, True),
    "both": (True, True),
}


def pass_ms(networks: dict[str, LIPT]) -> dict[str, float]:
    """The median time of one 640x360 frame through each network, in turn."""
    runs = {name: make_runtime(network, device=CPU, precision="float32", runtime="auto", threads=None)
            for name, network in networks.items()}  # fmt: skip
    frame = torch.rand(1, 3, 360, 640)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(12):
        for name, run in runs.items():
            began = time.perf_counter()
            run(frame)
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values[2:]) for name, values in times.items()}


def main() -> None:
    arguments = budget_arguments(__doc__, steps=1200).parse_args()
    spec = TrainSpec("nano", minutes=arguments.steps / 60, batch=arguments.batch, patch=arguments.patch, tail_patch=64)
    folders = Folders([arguments.data], arguments.valid, out=Path(), pairs=Path())
    materials = load_materials(spec, folders, CPU)
    rows: dict[str, dict[str, Any]] = {name: {"psnr_y": [], "step_ms": []} for name in VARIANTS}
    networks: dict[str, LIPT] = {}
    for seed in arguments.seeds:
        for name, (scattered, sampled) in VARIANTS.items():
            config = replace(spec.config, scattered=scattered, sampled_values=sampled)
            with tempfile.TemporaryDirectory() as folder:
                trainer, seconds = trained(replace(spec, seed=seed), config, materials, Path(folder))
            networks[name] = trainer.result()
            rows[name]["psnr_y"].append(trainer.best_psnr)
            rows[name]["step_ms"].append(1e3 * seconds)
            print(f"{name:16} seed {seed}: {trainer.best_psnr:.3f} dB, {1e3 * seconds:.0f} ms a step", flush=True)
    for name, ms in pass_ms(networks).items():
        rows[name]["pass_ms_640x360"] = ms
        print(f"{name:16} {ms:.0f} ms a frame of 640x360")
    settings = {name: getattr(arguments, name) for name in ("steps", "seeds", "batch", "patch")}
    write_result(arguments.out, **settings, variants=rows)


if __name__ == "__main__":
    main()
