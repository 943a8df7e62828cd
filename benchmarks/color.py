"""How long colour conversion takes: planes to RGB at the source's size, RGB to planes at twice that, per chroma siting.

    python benchmarks/color.py [--device cpu|cuda] [--rounds 60] [--out FILE]

On a CPU conversion keeps to one thread. Prints medians and writes benchmarks/results/color.json, on a GPU
color_cuda.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from results_file import write_result

from lipt_stream.engine.color import make_colors
from lipt_stream.frame import PixFmt, VideoFormat

RESULTS = Path(__file__).parent / "results"
SIZES = ((640, 360), (1280, 720), (1920, 1080))
CASES: tuple[tuple[PixFmt, str], ...] = (
    ("yuv420p", "left"),
    ("yuv420p", "center"),
    ("yuv420p", "topleft"),
    ("yuv420p10le", "left"),
)


def milliseconds(device: torch.device, rounds: int, convert: Callable[[], None]) -> tuple[float, float]:
    """(median, best) of `rounds` calls after five for warming up; on a GPU by events, without launch latency."""
    times: list[float] = []
    for _ in range(rounds + 5):
        if device.type == "cuda":
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            began.record()
            convert()
            ended.record()
            ended.synchronize()
            times.append(began.elapsed_time(ended))
        else:
            start = time.perf_counter()
            convert()
            times.append((time.perf_counter() - start) * 1000)
    measured = sorted(times[5:])
    return measured[len(measured) // 2], measured[0]


def measure(source: VideoFormat, device: torch.device, rounds: int) -> dict[str, object]:
    target = source.scaled(2)
    colors = make_colors(source, target, device)
    random = np.random.default_rng(0)
    filled = (random.integers(0, 2**source.bit_depth, shape).astype(source.dtype) for shape in source.plane_shapes)
    planes = tuple(torch.from_numpy(plane).to(device) for plane in filled)
    out = tuple(torch.from_numpy(plane).to(device) for plane in target.new_planes())
    real = torch.float16 if device.type == "cuda" else torch.float32
    rgb = torch.empty(1, 3, source.height, source.width, dtype=real, device=device)
    large = torch.rand(1, 3, target.height, target.width, device=device).to(real)
    with torch.inference_mode():
        there, best_there = milliseconds(device, rounds, lambda: colors.to_rgb(planes, rgb))
        back, best_back = milliseconds(device, rounds, lambda: colors.to_planes(large, out))
    return {
        "source": f"{source.width}x{source.height}",
        "target": f"{target.width}x{target.height}",
        "pix_fmt": source.pix_fmt,
        "chroma": source.chroma_location,
        "implementation": type(colors).__name__,
        "to_rgb_ms": round(there, 3),
        "to_planes_ms": round(back, 3),
        "both_ms": round(there + back, 3),
        "best_both_ms": round(best_there + best_back, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", type=Path, help="default: in benchmarks/results")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    device = torch.device(options.device)

    rows: list[dict[str, object]] = []
    print("source      target      format       chroma   to RGB  to planes    both    best   ms")
    for width, height in SIZES:
        for pix_fmt, chroma in CASES:
            source = VideoFormat(width=width, height=height, pix_fmt=pix_fmt, chroma_location=chroma)
            row = measure(source, device, options.rounds)
            rows.append(row)
            print(
                f"{row['source']:<11} {row['target']:<11} {pix_fmt:<12} {chroma:<8} {row['to_rgb_ms']:>6.2f} "
                f"{row['to_planes_ms']:>10.2f} {row['both_ms']:>7.2f} {row['best_both_ms']:>7.2f}"
            )
    out = options.out or RESULTS / ("color.json" if options.device == "cpu" else "color_cuda.json")
    write_result(out, device=options.device, rounds=options.rounds, results=rows)
    print(f"written: {out}")


if __name__ == "__main__":
    main()
