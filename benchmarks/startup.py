"""How long from starting the program to the first upscaled frame written? Median of several fresh processes.

python benchmarks/startup.py --out benchmarks/results/startup.json
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_file import write_result

CLIP = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips" / "flower.mp4"

# Runs in the new process: the whole of `upscale_file`, ended at the first frame.
PROGRAM = """
import sys, time
from lipt_stream import PipelineSpec, Stop, upscale_file
stop = Stop()
def first(update):
    if not stop.requested:
        print(time.time(), flush=True)
    stop.request()
upscale_file(sys.argv[1], sys.argv[2], spec=PipelineSpec(runtime=sys.argv[3]), progress=first, stop=stop)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--runtimes", nargs="+", default=["torch", "openvino"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    medians: dict[str, float] = {}
    for runtime in arguments.runtimes:
        times = [seconds_to_first_frame(runtime) for _ in range(arguments.runs)]
        medians[runtime] = statistics.median(times)
        print(f"{runtime}: {medians[runtime]:.2f} s (each: {', '.join(f'{t:.2f}' for t in times)})", flush=True)
    write_result(arguments.out, film=CLIP.name, runs=arguments.runs, seconds_to_first_frame=medians)


def seconds_to_first_frame(runtime: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        command = [sys.executable, "-c", PROGRAM, str(CLIP), f"{folder}/result.mp4", runtime]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[0]) - began


if __name__ == "__main__":
    main()
