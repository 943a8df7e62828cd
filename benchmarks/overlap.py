"""Does the pipeline overlap its stages? Wall time a frame beside the slowest stage alone, the CPU's bound, and the
naive serial loop, in one run, rounds interleaved because machines are noisy.

    python benchmarks/overlap.py --out benchmarks/results/overlap.json

On a CPU the stages share the cores, so no pipeline can beat max(slowest stage alone, CPU seconds of all / cores).
There the pipeline computes two frames at the same time; "one_frame" is the same pipeline with one, on all cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from results_file import write_result

from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import END, Frame
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.observe.process import usable_cores
from lipt_stream.stream.pipeline import run

CLIP = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips" / "flower.mp4"


@dataclasses.dataclass(frozen=True)
class Cost:
    """Of one frame: wall milliseconds and the CPU milliseconds that all threads spent."""

    wall_ms: float
    cpu_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--film", type=Path, default=CLIP)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    bench = Bench(arguments.film, arguments.model, arguments.device)
    ways: dict[str, Callable[[], int]] = {
        "decode": bench.decode,
        "network": bench.network,
        "encode": bench.encode,
        "serial": bench.serial,
        "one_frame": bench.one_frame_pipeline,
        "pipeline": bench.pipeline,
    }
    for way in (bench.serial, bench.one_frame_pipeline, bench.pipeline):  # warm-up: compilation and caches
        way()
    rounds: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            rounds[name].append(measured(way))
    costs = {
        name: Cost(statistics.median(c.wall_ms for c in found), statistics.median(c.cpu_ms for c in found))
        for name, found in rounds.items()
    }
    stages = [costs[name] for name in ("decode", "network", "encode")]
    slowest = max(stage.wall_ms for stage in stages)
    cores = usable_cores()
    cpu_bound = sum(stage.cpu_ms for stage in stages) / cores
    bound = max(slowest, cpu_bound)
    for name, cost in costs.items():
        print(f"{name:9} {cost.wall_ms:7.2f} ms a frame, {cost.cpu_ms:7.2f} ms of CPU")
    print(f"bound: slowest stage {slowest:.2f} ms, CPU time of all over {cores} cores {cpu_bound:.2f} ms")
    print(
        f"pipeline / bound {costs['pipeline'].wall_ms / bound:.3f}, "
        f"serial / pipeline {costs['serial'].wall_ms / costs['pipeline'].wall_ms:.3f}, "
        f"one frame / pipeline {costs['one_frame'].wall_ms / costs['pipeline'].wall_ms:.3f}"
    )
    write_result(
        arguments.out,
        film=arguments.film.name,
        model=bench.upscaler.info.name,
        runtime=bench.upscaler.runtime,
        precision=bench.upscaler.precision,
        rounds=arguments.rounds,
        costs={name: dataclasses.asdict(cost) for name, cost in costs.items()},
        slowest_stage_ms=slowest,
        cpu_bound_ms=cpu_bound,
        pipeline_over_bound=costs["pipeline"].wall_ms / bound,
        serial_over_pipeline=costs["serial"].wall_ms / costs["pipeline"].wall_ms,
        one_frame_over_pipeline=costs["one_frame"].wall_ms / costs["pipeline"].wall_ms,
    )


class Bench:
    """The same film through each stage alone, through the naive loop, and through the pipeline. Each returns frames."""

    def __init__(self, film: Path, model: str, device: str) -> None:
        self.film = film
        self.upscaler = Upscaler.load(model, device=device)
        source = FileSource(film)
        self.engine = Engine(self.upscaler, source.format, 4, at_once=self.upscaler.at_once)
        self.one_frame_engine = Engine(self.upscaler, source.format, 4)
        self.durations: list[tuple[int, int]] = []
        slots = itertools.cycle(self.engine.slots)
        while (frame := source.read(next(slots).host_in)) is not END:
            self.durations.append((frame.pts, frame.duration))
        source.close()
        self.folder = Path(tempfile.mkdtemp(prefix="lipt-overlap-"))
        self.encoder = choose_encoder("libx264")

    def decode(self) -> int:
        source = FileSource(self.film)
        planes = source.format.new_planes()
        while source.read(planes) is not END:
            pass
        source.close()
        return len(self.durations)

    def network(self) -> int:
        slots = itertools.cycle(self.engine.slots)
        in_flight: deque[Slot] = deque()
        for slot in itertools.islice(slots, len(self.durations)):
            if len(in_flight) == len(self.engine.slots):
                in_flight.popleft().wait()
            self.engine.submit(slot)
            in_flight.append(slot)
        for slot in in_flight:
            slot.wait()
        self.engine.drain()
        return len(self.durations)

    def encode(self) -> int:
        sink = self.new_sink()
        slots = itertools.cycle(self.engine.slots)
        for index, (pts, duration) in enumerate(self.durations):
            sink.write(Frame(index=index, pts=pts, duration=duration, planes=next(slots).host_out))
        sink.close()
        return len(self.durations)

    def serial(self) -> int:
        source, sink, slot = FileSource(self.film), self.new_sink(), self.engine.slots[0]
        while (frame := source.read(slot.host_in)) is not END:
            self.engine.process(slot)
            sink.write(dataclasses.replace(frame, planes=slot.host_out))
        sink.close()
        source.close()
        return len(self.durations)

    def one_frame_pipeline(self) -> int:
        return self.pipeline(self.one_frame_engine)

    def pipeline(self, engine: Engine | None = None) -> int:
        source, sink = FileSource(self.film), self.new_sink()
        run(source, engine or self.engine, sink)
        sink.close()
        source.close()
        return len(self.durations)

    def new_sink(self) -> FileSink:
        return FileSink(
            self.folder / "result.mkv", self.engine.target, encoder=self.encoder, copy_from=None, overwrite=True
        )


def measured(way: Callable[[], int]) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    frames = way()
    return Cost((time.perf_counter() - wall) * 1000 / frames, (time.process_time() - cpu) * 1000 / frames)


if __name__ == "__main__":
    main()
