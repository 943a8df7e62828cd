"""Peak memory of one forward pass, each network and precision in a process of its own.

python benchmarks/model_memory.py [--size 1920x1080] [--out benchmarks/results/model_memory.json]

"pass_mb" is the peak over what the process held before the pass (Python, torch, weights, the input); "maps_mb" is what
one layer's attention maps of the whole frame would have taken, had they been held.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch
from results_file import write_result

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from lipt_stream.observe.process import peak_rss_mb, rss_mb

MIB = 2**20
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def measure(name: str, precision: str, width: int, height: int) -> dict[str, int]:
    """MiB at the peak of one pass of a deployed x2 network of random weights, in this process."""
    config, dtype = LiptConfig.named(name, 2), PRECISIONS[precision]
    model = LIPT(config, deployed=True).eval().to(dtype)
    image = torch.rand(1, 3, height, width)
    with torch.inference_mode():
        model(image[..., :64, :64])  # libraries and thread pools are not the pass's
        before = rss_mb()
        output = model(image)
    windows = -(-width // config.window) * -(-height // config.window)
    return {
        "peak_mb": round(peak_rss_mb()),
        "pass_mb": round(peak_rss_mb() - before),
        "output_mb": round(output.nbytes / MIB),
        "maps_mb": round(2 * windows * config.window**4 * dtype.itemsize / MIB),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="1920x1080", help="of the input")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "PRECISION"), help="measure in this process, print JSON")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    if arguments.one:
        print(json.dumps(measure(*arguments.one, width, height)))
        return
    rows: list[dict[str, object]] = []
    for name in ("nano", "tiny"):
        for precision in PRECISIONS:
            command = [sys.executable, __file__, "--size", arguments.size, "--one", name, precision]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append({"model": name, "precision": precision} | json.loads(result.stdout))
            print(rows[-1])
    write_result(arguments.out, input=arguments.size, threads=torch.get_num_threads(), networks=rows)


if __name__ == "__main__":
    main()
