"""Does a live session hold its rate and its latency on this machine? The real command line, five minutes a case.

    python benchmarks/live_rate.py --out benchmarks/results/live_rate.json

The test card moves everywhere, so that no tile of it can be reused; the still scene is a photograph in which a small
square moves, coded by x264 as a camera would, and played again and again. Each goes through decoder (the test card
has none), network, encoder (x264) and a sink that lets the packets go. A case holds where 98 % of the pictures a second
that came also left, and 95 of 100 within 200 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from live_run import LiveRun
from results_file import write_result

CLIP = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips" / "flower.mp4"
FPS, SCENE_SECONDS, SQUARE = 30, 10, 24
START_SECONDS = 60
HELD, LATENCY_MS = 0.98, 200


@dataclass(frozen=True)
class Case:
    name: str
    source: str
    fps: int
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    case: str
    fps: int
    fps_out: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    dropped: dict[str, int]  # once it ran, by reason
    rungs: dict[str, float]  # share of the seconds on each
    steps: int
    reused: float  # median of the seconds
    cores: float  # busy on average, children included
    rss_mb: float
    holds: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = still_scene(Path(folder) / "still.mp4")
        rows = [measured(case, arguments.seconds) for case in cases(scene) if arguments.only in case.name]
    write_result(arguments.out, seconds=arguments.seconds, rows=[asdict(row) for row in rows])


def cases(scene: Path) -> Sequence[Case]:
    still = (str(scene), FPS)
    return (
        Case("moving 320x180, nano", f"test:320x180@{FPS}", FPS, ("--model", "nano")),
        Case("moving 320x180, the ladder", f"test:320x180@{FPS}", FPS),
        Case("moving 320x180, nano, 15 fps", "test:320x180@15", 15, ("--model", "nano")),
        Case("still 640x360, nano", *still, ("--model", "nano", "--loop")),
        Case("still 640x360, nano, reuse threshold 2", *still, ("--model", "nano", "--loop", "--reuse-threshold", "2")),
        Case("still 640x360, the ladder", *still, ("--loop",)),
    )


def still_scene(path: Path) -> Path:
    with av.open(str(CLIP)) as container:
        picture = next(container.decode(video=0)).reformat(640, 360, "rgb24")
    still = picture.to_ndarray()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", FPS, options={"crf": "20", "preset": "fast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        stream.gop_size = FPS * SCENE_SECONDS
        for n in range(FPS * SCENE_SECONDS):
            scene = still.copy()
            left = 60 + 2 * abs(n - FPS * SCENE_SECONDS // 2)  # there and back, so that the end meets the beginning
            scene[160 : 160 + SQUARE, left : left + SQUARE] = np.array([230, 120, 40], np.uint8)
            frame = av.VideoFrame.from_ndarray(scene, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def measured(case: Case, seconds: int) -> Row:
    began = os.times()
    with LiveRun(case.source, *case.arguments, "--to", "null", "--duration", str(seconds)) as run:
        _, exit_code = run.wait(seconds + START_SECONDS)
        lines, report = [line for line in run.stats if line["state"] == "live"], run.report
    if exit_code:
        raise RuntimeError(f"{case.name}: exit code {exit_code}, {run.lines[-3:]}")
    ended = os.times()
    busy = ended.children_user + ended.children_system - began.children_user - began.children_system
    rungs = [line["rung"] for line in lines]
    dropped = {reason: n for reason, n in report["dropped_by_reason"].items() if n and reason != "starting"}
    row = Row(
        case.name,
        case.fps,
        fps_out=round(report["fps_out"], 2),
        p50_ms=round(report["latency_p50_ms"], 1),
        p95_ms=round(report["latency_p95_ms"], 1),
        p99_ms=round(report["latency_p99_ms"], 1),
        dropped=dropped,
        rungs={rung: round(rungs.count(rung) / len(rungs), 3) for rung in dict.fromkeys(rungs)},
        steps=report["steps"],
        reused=statistics.median(line["reused"] for line in lines),
        cores=round(busy / seconds, 2),
        rss_mb=round(report["peak_rss_mb"]),
        holds=report["fps_out"] >= HELD * case.fps and report["latency_p95_ms"] < LATENCY_MS,
    )
    print(
        f"{row.case:44} {row.fps_out:6.2f} of {row.fps} fps  p50 {row.p50_ms:6.1f}  p95 {row.p95_ms:6.1f}  "
        f"p99 {row.p99_ms:6.1f} ms  reused {row.reused:5.1%}  {row.rungs}  dropped {row.dropped}  "
        f"{row.cores:.2f} cores  {row.rss_mb} MB  {'holds' if row.holds else 'DOES NOT HOLD'}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
