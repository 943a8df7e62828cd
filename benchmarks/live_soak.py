"""Does a live session stay the same for hours? Twenty minutes with a fault a minute, sampled every five seconds.

    python benchmarks/live_soak.py --out benchmarks/results/live_soak.json

The camera (GStreamer's RTSP server, 320x180 at 30 fps, with sound) is killed, hung, given another password, another
path, or its cable is cut, each minute anew, for 4 to 8 s. The session upscales by the ladder into an HLS folder, into
files of a minute each, and for the page, which a script watches. Slopes are least squares over the samples after the
first two minutes; `children` are the processes of the sinks, `child_descriptors` what all of them hold open.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from live_cameras import FPS, Cable, Camera
from live_faults import FAULTS, LOSS, deeds, possible
from live_run import LiveRun
from results_file import write_result
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SAMPLE_SECONDS, FAULT_EVERY_SECONDS, WARM_UP_SECONDS = 5.0, 60.0, 120.0
MEASURED = ("rss_mb", "threads", "descriptors", "children", "child_descriptors")


@dataclass(frozen=True)
class Sample:
    seconds: float
    rss_mb: float
    threads: int
    descriptors: int
    children: int
    child_descriptors: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--model", default="", help="pin one rung")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    cable = Cable.laid()
    camera = Camera("RTSP over TCP", cable)
    with tempfile.TemporaryDirectory() as folder:
        sinks = ("--to", f"hls:{folder}/hls", "--to", f"{folder}/film.mkv", "--segment", "60", "--to", "preview")
        pinned = ("--model", arguments.model) if arguments.model else ()
        camera.start()
        try:
            with LiveRun(*camera.arguments, *sinks, *pinned) as run:
                samples, recoveries = soak(run, camera, cable, chance, arguments.minutes * 60)
                end_seconds, exit_code = run.end()
                report = run.report
        finally:
            camera.kill()
            if cable:
                cable.remove()
    slopes = {name: slope(samples, name) for name in MEASURED}
    first = next(sample for sample in samples if sample.seconds >= WARM_UP_SECONDS)
    for name, per_hour in slopes.items():
        print(f"{name:17} {getattr(first, name):8} -> {getattr(samples[-1], name):8}   {per_hour:+.2f} an hour")
    print(f"recovered after {sorted(recoveries)} s; ended in {end_seconds:.1f} s with {exit_code}")
    for sink in report["sinks"]:
        print(f"{sink['name']}: {sink['restarts']} restarts, {sink['dropped']} dropped {sink['last_trouble']}")
    print({key: report[key] for key in ("frames_in", "frames_out", "frames_repeated", "dropped_by_reason", "fps_out")})
    write_result(
        arguments.out,
        minutes=arguments.minutes,
        slopes_per_hour=slopes,
        recovered_s=recoveries,
        end_s=round(end_seconds, 2),
        exit_code=exit_code,
        report=report,
        samples=[asdict(sample) for sample in samples],
    )


def soak(
    run: LiveRun, camera: Camera, cable: Cable | None, chance: random.Random, seconds: float
) -> tuple[list[Sample], list[float]]:
    """Samples of the whole time, and the seconds that each fault's end took to be noticed."""
    run.flows(FPS)
    over = threading.Event()
    threading.Thread(target=watch, args=(*page_of(run), over), daemon=True).start()
    samples: list[Sample] = []
    sampler = threading.Thread(target=sample, args=(run, samples, over), daemon=True)
    sampler.start()
    kinds = [kind for kind in possible(FAULTS, camera, cable) if kind != LOSS]
    recoveries: list[float] = []
    began = time.monotonic()
    for number in range(int(seconds / FAULT_EVERY_SECONDS)):
        begin, end = deeds(kinds[number % len(kinds)], camera, cable)
        failed = time.monotonic()
        begin()
        run.until(lambda since=failed: run.said("source: ", since), 60, "word of a fault")
        time.sleep(max(0.0, failed + chance.uniform(4, 8) - time.monotonic()))
        end()
        back = time.monotonic()
        recoveries.append(round(run.until(lambda since=back: run.said("is back", since), 60, "a return") - back, 2))
        print(f"{time.monotonic() - began:6.0f} s  {kinds[number % len(kinds)]:15} {recoveries[-1]:.2f} s", flush=True)
        time.sleep(max(0.0, began + (number + 1) * FAULT_EVERY_SECONDS - time.monotonic()))
    over.set()
    sampler.join()
    return samples, recoveries


def page_of(run: LiveRun) -> tuple[str, str]:
    """Where a viewer connects, and the token, from the line that tells the page's address."""
    line = next(line for _, line in run.lines if "page: " in line)
    page, _, query = line.partition("page: ")[2].strip().partition("?")
    return page.replace("http://", "ws://") + "watch", query.partition("=")[2]


def watch(url: str, token: str, over: threading.Event) -> None:
    """A viewer who takes everything, and comes again where the connection ends."""
    while not over.is_set():
        try:
            with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, max_size=None) as socket:
                while not over.is_set():
                    socket.recv(timeout=30)
        except (OSError, TimeoutError, WebSocketException) as error:
            print("viewer:", error, flush=True)
            time.sleep(1)


def sample(run: LiveRun, samples: list[Sample], over: threading.Event) -> None:
    began = time.monotonic()
    while not over.wait(SAMPLE_SECONDS):
        usage = run.usage()
        children = psutil.Process(run.pid).children(recursive=True)
        held = sum(map(descriptors_of, children))
        seconds = round(time.monotonic() - began, 1)
        samples.append(Sample(seconds, usage.rss_mb, usage.threads, usage.descriptors, len(children), held))


def descriptors_of(process: psutil.Process) -> int:
    """0 of one that has just ended."""
    try:
        return process.num_fds()
    except psutil.NoSuchProcess:
        return 0


def slope(samples: Sequence[Sample], name: str) -> float:
    """Per hour, by least squares."""
    settled = [one for one in samples if one.seconds >= WARM_UP_SECONDS]
    hours = np.array([one.seconds / 3600 for one in settled])
    return round(float(np.polyfit(hours, [getattr(one, name) for one in settled], 1)[0]), 2)


if __name__ == "__main__":
    main()
