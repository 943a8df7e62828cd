"""What reused tiles cost and gain: how near tiled results are to whole ones, by halo and tile; the price where
everything changes; frames per second on still scenes; what a threshold does; what comparing costs; whether batches pay.

    python benchmarks/tile_reuse.py --clips ../shared/data/video/clips --out benchmarks/results/tile_reuse.json

Pictures are 640x360: the middle of a real clip's frames. Whatever is compared takes turns frame by frame, so that a
busy moment of the machine falls on all alike; times are medians. Float32, so that nothing but the tiles differs.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results_file import write_result

from lipt_stream.engine import reuse
from lipt_stream.engine.canvas import Canvas, tiles_reading
from lipt_stream.engine.color import make_colors
from lipt_stream.engine.planes import ImageUpscaler
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.tiling import apply_tiled, fixed_plan, window
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import END, Planes, VideoFormat
from lipt_stream.media.file_source import FileSource

WIDTH, HEIGHT = 640, 360
CPU = torch.device("cpu")
CORES, HALOS = (48, 64, 96, 128), (0, 8, 16, 24, 32)
STILL_CAMERAS = ("bottles_conveyor_640x360.mp4", "cctv_cars_768x432_30s.mp4")
FILMS = (*STILL_CAMERAS, "dog_grass_640x360.mp4", "film_charade_720p_talking.mp4", "talking_head_selfie_1024x768.mp4")


def frames_of(clip: Path, count: int, *, skip: int = 0) -> tuple[VideoFormat, list[Planes]]:
    """The middle of `count` frames of a clip, behind the first `skip`."""
    source = FileSource(clip)
    whole = source.format
    top, left = ((length - cut) // 4 * 2 for length, cut in ((whole.height, HEIGHT), (whole.width, WIDTH)))
    planes, frames = whole.new_planes(), list[Planes]()
    for index in range(skip + count):
        if source.read(planes) is END:
            break
        if index >= skip:
            y, u, v = window(planes, slice(top, top + HEIGHT), slice(left, left + WIDTH))
            frames.append((y.copy(), u.copy(), v.copy()))
    source.close()
    return VideoFormat(width=WIDTH, height=HEIGHT, color_space=whole.color_space), frames


def psnr(a: Iterable[np.ndarray], b: Iterable[np.ndarray], peak: float) -> float:
    """Over all samples; 200 dB where they are equal."""
    errors = np.concatenate([(x.astype(np.float64) - y).ravel() for x, y in zip(a, b, strict=True)])
    return min(200.0, 10 * math.log10(peak**2 / max(float((errors**2).mean()), 1e-30)))


# --- how near tiles are to the whole


def agreement(name: str, clips: list[Path], cores: tuple[int, ...]) -> list[dict[str, Any]]:
    """Of RGB before it is rounded, by halo and core; the worst clip counts as much as the mean."""
    upscaler = Upscaler.load(name, device="cpu", precision="float32")
    rows: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for clip in clips:
        video, (planes,) = frames_of(clip, 1, skip=20)
        rgb = torch.empty(1, 3, HEIGHT, WIDTH)
        y, u, v = (torch.from_numpy(plane) for plane in planes)
        make_colors(video, video, CPU).to_rgb((y, u, v), rgb)
        whole = upscaler.run(rgb).clamp(0, 1).numpy()
        for core in cores:
            for halo in HALOS:
                plan = fixed_plan(HEIGHT, WIDTH, core, halo, reuse.ALIGN)
                tiled = apply_tiled(upscaler.run, rgb, plan, 2).clamp(0, 1).numpy()
                error = float(np.abs(tiled - whole).max()) * 255
                rows.setdefault((core, halo), []).append((psnr([tiled], [whole], 1), error))
    result: list[dict[str, Any]] = []
    for (core, halo), measured in rows.items():
        dbs, errors = zip(*measured, strict=True)
        read = fixed_plan(HEIGHT, WIDTH, core, halo, reuse.ALIGN).pixels_read / (WIDTH * HEIGHT)
        row = {"model": name, "core": core, "halo": halo, "mean_db": statistics.mean(dbs), "worst_db": min(dbs)}
        result.append(row | {"largest_error_codes": max(errors), "pixels_read_if_all_change": read})
        print(
            f"{name} core {core:3} halo {halo:2}: {row['mean_db']:.1f} dB, worst clip {row['worst_db']:.1f}, "
            f"largest error {max(errors):.1f} codes; reads {read:.2f} of the frame if all changes",
            flush=True,
        )
    return result


# --- engines in turn over the same frames


class Racer:
    """An engine with what it took for each frame, and what it computed."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seconds: list[float] = []
        self.shares: list[float] = []
        self.reused: list[float] = []

    def take(self, planes: Planes) -> Planes:
        slot = self.engine.slots[0]
        for source, target in zip(planes, slot.host_in, strict=True):
            target[:] = source
        began = time.perf_counter()
        self.engine.process(slot)
        self.seconds.append(time.perf_counter() - began)
        self.shares.append(slot.work.share)
        self.reused.append(slot.work.reused / slot.work.tiles)
        return slot.host_out

    def result(self) -> dict[str, float]:
        return {
            "median_ms": statistics.median(self.seconds) * 1e3,
            "mean_ms": statistics.mean(self.seconds) * 1e3,
            "fps": len(self.seconds) / sum(self.seconds),
            "share_read": statistics.mean(self.shares),
            "reused": statistics.mean(self.reused),
        }


def engine_of(upscaler: ImageUpscaler, video: VideoFormat, threshold: int | None, core: int = reuse.CORE) -> Engine:
    former = reuse.CORE
    reuse.CORE = core  # type: ignore[misc]
    try:
        engine = Engine(upscaler, video, 1, reuse_threshold=threshold)
    finally:
        reuse.CORE = former  # type: ignore[misc]
    engine.warm_up(upscaler)
    return engine


def settle(racers: Iterable[Racer], planes: Planes) -> None:
    """The same picture until all that reuse have turned to tiles; not counted."""
    for racer in racers:
        for _ in range(reuse.PATIENCE + 1):
            racer.take(planes)
        racer.seconds.clear()
        racer.shares.clear()
        racer.reused.clear()


def everything_changes(upscaler: Upscaler, clip: Path, rounds: int) -> dict[str, Any]:
    """The time of all tiles against that of the whole frame: an engine is made to forget, and to stay with tiles."""
    video, frames = frames_of(clip, rounds)
    whole, tiled = Racer(engine_of(upscaler, video, None)), Racer(engine_of(upscaler, video, 0))
    settle([whole, tiled], frames[0])
    for planes in frames:
        compute_all_tiles(tiled.engine)
        whole.take(planes)
        tiled.take(planes)
    ratio = tiled.result()["median_ms"] / whole.result()["median_ms"]
    print(f"all tiles take {ratio:.2f} times a whole frame ({whole.result()['median_ms']:.0f} ms)")
    return {"whole": whole.result(), "tiled": tiled.result(), "ratio": ratio}


def at_the_switch(name: str, clips: list[Path]) -> dict[str, Any]:
    """How far tiled planes are from whole ones, in the 8 bits that an encoder gets."""
    upscaler = Upscaler.load(name, device="cpu", precision="float32")
    dbs: list[float] = []
    for clip in clips:
        video, (planes,) = frames_of(clip, 1, skip=20)
        whole, tiled = Racer(engine_of(upscaler, video, None)), Racer(engine_of(upscaler, video, 0))
        settle([tiled], planes)
        compute_all_tiles(tiled.engine)
        dbs.append(psnr(tiled.take(planes), whole.take(planes), 255))
    row = {"model": name, "mean_db": statistics.mean(dbs), "worst_db": min(dbs)}
    print(f"{name}: tiled and whole planes are {row['mean_db']:.1f} dB apart, {row['worst_db']:.1f} in the worst clip")
    return row


def compute_all_tiles(engine: Engine) -> None:
    """In the next frame, however often it has been so."""
    assert engine._reuse is not None
    engine._reuse.forget()
    engine._reuse._choice._frames_against = 0


def moving_object(video: VideoFormat, still: Planes, count: int, size: int = 64) -> Iterator[Planes]:
    """A real picture that stands still, and a square of it that moves over it by 4 pixels a frame."""
    patch = window(still, slice(0, size), slice(0, size))
    for index in range(count):
        y, u, v = (plane.copy() for plane in still)
        left, top = 4 * index % (video.width - size), (100 + 2 * index) % (video.height - size) // 2 * 2
        place = window((y, u, v), slice(top, top + size), slice(left, left + size))
        for target, source in zip(place, patch, strict=True):
            target[:] = 255 - source
        yield y, u, v


def still_scene(upscaler: Upscaler, clip: Path, count: int) -> list[dict[str, Any]]:
    """Frames per second with and without reuse where a square moves over a still picture, by size of tile."""
    video, (still,) = frames_of(clip, 1, skip=20)
    racers = {"without reuse": Racer(engine_of(upscaler, video, None))}
    racers |= {f"core {core}": Racer(engine_of(upscaler, video, 0, core)) for core in (16, 32, *CORES)}
    settle(racers.values(), still)
    for planes in moving_object(video, still, count + 1):
        for racer in racers.values():
            racer.take(planes)
    for racer in racers.values():
        del racer.seconds[0], racer.shares[0], racer.reused[0]  # the first in tiles computes all of them
    base = racers["without reuse"].result()["fps"]
    rows = [{"which": name} | racer.result() for name, racer in racers.items()]
    for row in rows:
        row["gain"] = row["fps"] / base
        print(f"moving square, {row['which']}: {row['fps']:.1f} fps, {row['gain']:.1f} times", flush=True)
    return rows


def thresholds(upscaler: Upscaler, clip: Path, count: int) -> list[dict[str, Any]]:
    """On a real clip of a still camera: what is reused and what that costs, by threshold."""
    video, frames = frames_of(clip, count)
    whole = Racer(engine_of(upscaler, video, None))
    racers = {threshold: Racer(engine_of(upscaler, video, threshold)) for threshold in (0, 2, 4, 8)}
    agreed: dict[int, list[float]] = {threshold: [] for threshold in racers}
    for planes in frames:
        expected = whole.take(planes)
        for threshold, racer in racers.items():
            agreed[threshold].append(psnr(racer.take(planes), expected, 255))
    rows: list[dict[str, Any]] = []
    for threshold, racer in racers.items():
        row = {"clip": clip.name, "threshold": threshold} | racer.result()
        row |= {"gain": row["fps"] / whole.result()["fps"]}
        row |= {"mean_db": statistics.mean(agreed[threshold]), "worst_db": min(agreed[threshold])}
        rows.append(row)
        print(
            f"{clip.name}, threshold {threshold}: {row['reused']:.0%} reused, {row['gain']:.2f} times the rate, "
            f"{row['mean_db']:.1f} dB to whole frames, worst {row['worst_db']:.1f}",
            flush=True,
        )
    return rows


# --- single costs


def median_ms(once: Callable[[], object], rounds: int) -> float:
    times: list[float] = []
    for _ in range(rounds + 2):
        began = time.perf_counter()
        once()
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times[2:])


def comparing(rounds: int) -> list[dict[str, Any]]:
    """What it takes to find out what changed: nothing, or noise of one code everywhere below a threshold."""
    rows: list[dict[str, Any]] = []
    for width, height in ((640, 360), (1920, 1080)):
        video = VideoFormat(width=width, height=height)
        plan = fixed_plan(height, width, reuse.CORE, reuse.HALO, reuse.ALIGN)
        random = np.random.default_rng(0)
        noise = [
            tuple(random.integers(99, 101, shape, dtype=np.uint8) for shape in video.plane_shapes) for _ in range(2)
        ]
        for threshold, frames, case in ((0, noise[:1], "nothing changed"), (2, noise, "noise below a threshold of 2")):
            canvas = Canvas(video, threshold)
            canvas.take(frames[0])
            turn = itertools.cycle(frames)
            ms = median_ms(lambda c=canvas, p=plan, t=turn: tiles_reading(c.differing(next(t)), p), rounds)
            rows.append({"size": f"{width}x{height}", "case": case, "median_ms": ms})
            print(f"comparing {width}x{height}, {case}: {ms:.2f} ms")
    return rows


def batches(name: str, rounds: int) -> list[dict[str, Any]]:
    """One inference over four tiles side by side against four inferences, by OpenVINO: both in turn."""
    rows: list[dict[str, Any]] = []
    for tile in (64, 96, 128):
        upscaler = Upscaler.load(name, device="cpu", precision="float32")
        one, four = torch.rand(1, 3, tile, tile), torch.rand(1, 3, tile, 4 * tile)
        singly, together = list[float](), list[float]()
        for _ in range(rounds + 2):
            singly.append(median_ms(lambda u=upscaler, x=one: [u.run(x) for _ in range(4)], 1))
            together.append(median_ms(lambda u=upscaler, x=four: u.run(x), 1))
        ratio = statistics.median(singly[2:]) / statistics.median(together[2:])
        rows.append({"model": name, "tile": tile, "singly_over_together": ratio})
        print(f"{name}, tiles of {tile}: four inferences take {ratio:.2f} times one over all four")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--models", nargs="*", default=["nano", "tiny"])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    films = [arguments.clips / name for name in FILMS]
    stills = [arguments.clips / name for name in STILL_CAMERAS]
    nano = Upscaler.load("nano", device="cpu", precision="float32")
    figures: dict[str, Any] = {
        "comparing": comparing(2 * arguments.frames),
        "batches": batches("nano", 12),
        "everything_changes": everything_changes(nano, films[2], 20),
        "moving_square": still_scene(nano, stills[0], arguments.frames),
        "at_the_switch": [at_the_switch(name, films) for name in arguments.models],
        "thresholds": [row for clip in stills for row in thresholds(nano, clip, arguments.frames)],
        "agreement": [
            row
            for name, cores in zip(arguments.models, (CORES, (reuse.CORE,)), strict=False)  # the second is slow
            for row in agreement(name, films, cores)
        ],
    }
    chosen = {name: getattr(reuse, name) for name in ("CORE", "HALO", "PATIENCE", "MOST", "LITTLE")}
    load = os.getloadavg()[1]
    write_result(arguments.out, runtime=nano.runtime, chosen=chosen, load_average=load, **figures)


if __name__ == "__main__":
    main()
