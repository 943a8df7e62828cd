"""1080p -> 2160p with tiny on a GPU, through a null encoder: frames per second of the pipeline, beside the network
alone, the bus and the arithmetic limit; and what a frame takes of which a part has changed, as `live` reuses the rest.
Prints a table and writes JSON.

    python benchmarks/gpu.py --out benchmarks/results/gpu.json
    python benchmarks/gpu.py --device cpu --size 320x180 --seconds 2     # the same on a small size without a GPU
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from results_file import write_result

from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.null_sink import NullSink
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.model.cost import multiply_adds
from lipt_stream.observe.gpu import GpuMonitor
from lipt_stream.observe.process import peak_rss_mb
from lipt_stream.observe.timings import StageTimings
from lipt_stream.stream.pipeline import Stop, run

WARM_UP_FRAMES = 5
CHANGED = (0.05, 0.2, 1.0)
"""Shares of a frame's rows that change in each frame: the last is computed whole, the others in tiles."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tiny", "nano"])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    video = VideoFormat(width=width, height=height)

    results: list[dict[str, Any]] = []
    for model, depth in itertools.product(arguments.models, (2, 4)):
        upscaler = Upscaler.load(model, device=arguments.device, scale=2)
        results.append(measure(upscaler, video, depth, arguments.seconds))
        print(describe(results[-1]), flush=True)
        if depth == 2:
            results[-1]["changed_ms"] = {
                share: changed_ms(upscaler, video, share, arguments.seconds / 8) for share in CHANGED
            }
            print(f"  a frame of which a part has changed, ms: {results[-1]['changed_ms']}", flush=True)
    bus = bus_gigabytes_per_second(upscaler.device)
    matmul = matmul_tflops(upscaler.device)
    print(f"bus: {bus['to device']:.1f} GB/s in, {bus['to host']:.1f} GB/s out; matrix product {matmul:.3g} TFLOP/s")
    for result in results:
        result["bus_limit_fps"] = bus_limit_fps(bus, video)
        result["arithmetic_limit_fps"] = matmul * 1e12 / result["flops_per_frame"]
        print(
            f"  {result['model']} depth {result['depth']}: {result['pipeline_fps']:.2f} fps of at most "
            f"{result['bus_limit_fps']:.0f} (bus), {result['arithmetic_limit_fps']:.0f} (arithmetic)"
        )
    write_result(arguments.out, bus_gigabytes_per_second=bus, matmul_tflops=matmul, results=results)


def measure(upscaler: Upscaler, video: VideoFormat, depth: int, seconds: float) -> dict[str, Any]:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    engine = Engine(upscaler, video, depth)
    source = SyntheticSource(video, depth)
    for slot in engine.slots:
        source.read(slot.host_in)
    slots = itertools.cycle(engine.slots)
    alone_ms = median_ms(lambda: engine.process(next(slots)), seconds)
    rgb = torch.rand((1, 3, video.height, video.width), device=upscaler.device)
    network_ms = median_ms(lambda: synchronised(upscaler, rgb), seconds)
    timings, monitor = StageTimings(), GpuMonitor(upscaler.device)
    with monitor.watching() as gpu:
        pipeline_fps = pipeline(engine, video, timings, seconds)
    summary = gpu.summary()
    return {
        "model": upscaler.info.name,
        "precision": upscaler.precision,
        "runtime": upscaler.runtime,
        "source": str(video),
        "depth": depth,
        "pipeline_fps": pipeline_fps,
        "one_frame_at_a_time_fps": 1000 / alone_ms,
        "network_alone_fps": 1000 / network_ms,
        "flops_per_frame": 2.0 * multiply_adds(upscaler.config) * video.width * video.height,
        "stages": {name: dataclasses.asdict(stage) for name, stage in timings.summary().items()},
        "gpu": dataclasses.asdict(summary) if summary else None,
        "gpu_memory_peak_mb": torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None,
        "peak_rss_mb": peak_rss_mb(),
    }


def pipeline(engine: Engine, video: VideoFormat, timings: StageTimings, seconds: float) -> float:
    """Frames per second of run() from a synthetic source into nothing, the warm-up left out."""
    stop, written_at = Stop(), list[float]()

    def note(frame: Frame) -> None:
        del frame
        written_at.append(time.perf_counter())
        if len(written_at) > 2 * WARM_UP_FRAMES and written_at[-1] - written_at[WARM_UP_FRAMES] > seconds:
            stop.request()

    run(SyntheticSource(video, None), engine, NullSink(engine.target), timings=timings, progress=note, stop=stop)
    return (len(written_at) - 1 - WARM_UP_FRAMES) / (written_at[-1] - written_at[WARM_UP_FRAMES])


def changed_ms(upscaler: Upscaler, video: VideoFormat, share: float, seconds: float) -> float:
    """Of a frame of which so much has changed since the last."""
    engine = Engine(upscaler, video, 1, reuse_threshold=0)
    slot = engine.slots[0]
    SyntheticSource(video, 1).read(slot.host_in)

    def once() -> None:
        slot.host_in[0][: round(share * video.height)] ^= 1
        engine.process(slot)

    return median_ms(once, seconds)


def synchronised(upscaler: Upscaler, rgb: torch.Tensor) -> None:
    upscaler.run(rgb)
    if upscaler.device.type == "cuda":
        torch.cuda.synchronize()


def median_ms(once: Callable[[], object], seconds: float) -> float:
    for _ in range(WARM_UP_FRAMES):
        once()
    times: list[float] = []
    total_seconds = 0.0
    while total_seconds < seconds or len(times) < 5:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
        total_seconds += times[-1]
    return statistics.median(times) * 1000


def bus_gigabytes_per_second(device: torch.device) -> dict[str, float]:
    """Copies of 64 MB between pinned host memory and the device, each way. On a CPU: memory to memory."""
    on_gpu = device.type == "cuda"
    host = torch.empty(64 * 2**20, dtype=torch.uint8, pin_memory=on_gpu)
    there = torch.empty_like(host, device=device, pin_memory=False)

    def copy(source: torch.Tensor, target: torch.Tensor) -> None:
        target.copy_(source, non_blocking=True)
        if on_gpu:
            torch.cuda.synchronize()

    size = host.numel() / 1e9
    return {
        "to device": size / (median_ms(lambda: copy(host, there), 0.5) / 1000),
        "to host": size / (median_ms(lambda: copy(there, host), 0.5) / 1000),
    }


def bus_limit_fps(bus: dict[str, float], video: VideoFormat) -> float:
    """Both directions at once: the slower of the two bounds the rate."""
    up = bus["to device"] * 1e9 / video.frame_bytes
    down = bus["to host"] * 1e9 / video.scaled(2).frame_bytes
    return min(up, down)


def matmul_tflops(device: torch.device) -> float:
    """Of a large product in the precision that the network runs in there."""
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    side = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn((side, side), dtype=dtype, device=device) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return 2 * side**3 / (median_ms(product, 0.5) / 1000) / 1e12


def describe(result: dict[str, Any]) -> str:
    return (
        f"{result['model']} {result['precision']} {result['source']} depth {result['depth']}: pipeline "
        f"{result['pipeline_fps']:.2f} fps, one at a time {result['one_frame_at_a_time_fps']:.2f}, network alone "
        f"{result['network_alone_fps']:.2f}"
    )


if __name__ == "__main__":
    main()
