"""What Lanczos takes on a CPU, beside nano and beside other ways to do it: on planes or by way of RGB, shifted sums or
a convolution, in bands or in one piece, on one thread or two.

    python benchmarks/lanczos.py --out benchmarks/results/lanczos.json

All take turns, round by round, so that a busy moment of the machine falls on all alike. Medians and best times, x2.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from results_file import write_result

from lipt_stream.engine import lanczos
from lipt_stream.engine.color import make_colors
from lipt_stream.engine.color_math import DevicePlanes
from lipt_stream.engine.lanczos import LOBES, LanczosUpscaler, make_phases
from lipt_stream.engine.one_thread import one_thread
from lipt_stream.engine.planes import ImageUpscaler, PlanesUpscaler, new_planes
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import VideoFormat
from lipt_stream.model.cost import multiply_adds

CPU = torch.device("cpu")
SIZES = ((640, 360), (1920, 1080))


def through_rgb(video: VideoFormat) -> Callable[[DevicePlanes, DevicePlanes], None]:
    """Colour conversion, Lanczos of three channels, and back: what an upscaler of images would do."""
    colors = make_colors(video, video.scaled(2), CPU)
    rgb, upscaler = torch.empty(1, 3, video.height, video.width), LanczosUpscaler(2, CPU)

    def run(planes: DevicePlanes, result: DevicePlanes) -> None:
        colors.to_rgb(planes, rgb)
        colors.to_planes(upscaler.run(rgb), result)

    return run


def convolved(planes: DevicePlanes, result: DevicePlanes) -> None:
    """One 7x7 convolution to the four phases, and pixel shuffle; chroma as if it were centred."""
    reach = LOBES
    axis = torch.zeros(2, 2 * reach + 1)
    for k, phase in enumerate(make_phases(2, is_cosited=False)):
        axis[k, reach + phase.first : reach + phase.first + 2 * reach] = torch.tensor(phase.weights)
    kernel = torch.einsum("ai,bj->abij", axis, axis).reshape(4, 1, 2 * reach + 1, 2 * reach + 1)
    with one_thread():
        for plane, enlarged in zip(planes, result, strict=True):
            padded = F.pad(plane.float()[None, None], (reach,) * 4, mode="replicate")
            codes = F.pixel_shuffle(F.conv2d(padded, kernel), 2)[0, 0].add_(0.5).clamp_(0, 255)
            enlarged.copy_(codes.to(torch.int16))


def in_one_piece(run: Callable[[], None]) -> Callable[[], None]:
    def whole() -> None:
        former, lanczos.BAND_SAMPLES = lanczos.BAND_SAMPLES, 2**40  # type: ignore[misc]
        run()
        lanczos.BAND_SAMPLES = former  # type: ignore[misc]

    return whole


def on_two_threads(run: Callable[[], None]) -> Callable[[], None]:
    def parallel() -> None:
        former, lanczos.one_thread = lanczos.one_thread, _two_threads  # type: ignore[misc]
        run()
        lanczos.one_thread = former  # type: ignore[misc]

    return parallel


class _two_threads:  # noqa: N801  in the place of a function
    def __enter__(self) -> None:
        torch.set_num_threads(2)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(1)


def measure(width: int, height: int, rounds: int) -> list[dict[str, Any]]:
    video = VideoFormat(width=width, height=height)
    planes, result = new_planes(video, CPU), new_planes(video.scaled(2), CPU)
    for plane in planes:
        plane.random_(0, 256)
    upscaler, rgb = LanczosUpscaler(2, CPU), through_rgb(video)

    def on_planes() -> None:
        upscaler.run_planes(video, planes, result)

    def network(threads: int) -> Callable[[], None]:
        frames = PlanesUpscaler(video, 2, CPU)
        nano: ImageUpscaler = Upscaler.load("nano", device="cpu", precision="float32", threads=threads)
        return lambda: frames.run(nano, [planes], [result])

    candidates: dict[str, Callable[[], None]] = {
        "lanczos on planes": on_planes,
        "lanczos on planes, two threads": on_two_threads(on_planes),
        "lanczos on planes, in one piece": in_one_piece(on_planes),
        "lanczos on planes, by convolution": lambda: convolved(planes, result),
        "lanczos by way of RGB": lambda: rgb(planes, result),
        "nano, one thread": network(1),
        "nano, two threads": network(2),
    }
    times: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.inference_mode():
        for round_ in range(rounds + 1):
            for name, run in candidates.items():
                began = time.perf_counter()
                run()
                if round_:
                    times[name].append((time.perf_counter() - began) * 1e3)
    rows = [
        {"size": f"{width}x{height}", "which": name, "median_ms": statistics.median(ms), "least_ms": min(ms)}
        for name, ms in times.items()
    ]
    for row in rows:
        print(
            f"{row['size']:10} {row['which']:36} {row['median_ms']:8.1f} ms, least {row['least_ms']:8.1f}", flush=True
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for width, height in SIZES for row in measure(width, height, arguments.rounds)]
    nano = multiply_adds(Upscaler.load("nano", device="cpu").config)
    found = {(row["size"], row["which"]): row["least_ms"] for row in rows}
    equivalent = {
        f"{w}x{h}": nano * found[f"{w}x{h}", "lanczos on planes"] / found[f"{w}x{h}", "nano, two threads"]
        for w, h in SIZES
    }
    print("in multiply-adds a pixel of nano's:", {size: round(value) for size, value in equivalent.items()})
    write_result(arguments.out, load_average=os.getloadavg()[1], equivalent_multiply_adds=equivalent, results=rows)


if __name__ == "__main__":
    main()
