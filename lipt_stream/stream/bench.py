"""Measuring the pipeline on this machine: every stage alone, all together, and what limits them.

Each case is a real file: a given one, or a synthetic film encoded first, so that decoding is measured as it happens.
Warm-up frames (compilation, caches, clocks, the encoder's opening) come before every measurement and are in none of
its times.
"""

from __future__ import annotations

import dataclasses
import gc
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from lipt_stream.engine.slots import STAGES, Engine, Slot
from lipt_stream.frame import END, Frame, Planes, VideoFormat
from lipt_stream.media.encoders import EncoderChoice
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.null_sink import NullSink
from lipt_stream.media.sink import Sink
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.observe.gpu import GpuMonitor, GpuSummary
from lipt_stream.observe.process import forget_peak_rss, give_back_freed, peak_rss_mb, rss_mb
from lipt_stream.observe.timings import StageSummary, StageTimings
from lipt_stream.stream.bench_case import BenchCase, BenchPlan
from lipt_stream.stream.looped_film import LoopedFilm
from lipt_stream.stream.pipeline import Stop, run

WARM_UP_FRAMES: Final = 3
FILM_FRAMES: Final = 90  # of the synthetic film; measurements read it again from its beginning as often as needed


def _nobody_listens(step: str) -> None:
    del step


def bench_size(
    plan: BenchPlan, width: int, height: int, rate: Fraction, on_step: Callable[[str], None] = _nobody_listens
) -> BenchCase:
    """Measure a synthetic film of this size, encoded to H.264 first. `on_step` hears what is measured next."""
    video = VideoFormat(width=width, height=height, frame_rate=rate, time_base=1 / rate)
    with tempfile.TemporaryDirectory(prefix="lipt-bench-") as folder:
        film = Path(folder) / "source.mkv"
        _encode_synthetic(film, video)
        return bench_file(plan, film, on_step)


def bench_file(plan: BenchPlan, film: Path, on_step: Callable[[str], None] = _nobody_listens) -> BenchCase:
    """Measure a given film. `on_step` hears what is measured next."""
    with tempfile.TemporaryDirectory(prefix="lipt-bench-") as folder:
        return _Bench(plan, film, Path(folder)).measure(on_step)


def _encode_synthetic(film: Path, video: VideoFormat) -> None:
    source = SyntheticSource(video, FILM_FRAMES)
    encoder = EncoderChoice(name="libx264", options={"preset": "veryfast"}, crf=23)
    sink = FileSink(film, video, encoder=encoder, copy_from=None)
    planes = video.new_planes()
    while (frame := source.read(planes)) is not END:
        sink.write(frame)
    sink.close()


class _Bench:
    """The measurements of one film."""

    def __init__(self, plan: BenchPlan, film: Path, folder: Path) -> None:
        gc.collect()  # what a former case compiled is no memory of this one
        give_back_freed()
        forget_peak_rss()
        self._rss_before_mb = rss_mb()
        self._plan = plan
        self._film = film
        self._results = (folder / f"result{n}{plan.suffix}" for n in itertools.count())
        with self._open() as source:
            self._source_format = source.format
            upscaler = self._upscaler = plan.upscaler.for_bit_depth(source.format.bit_depth)
            self._engine = Engine(upscaler, source.format, plan.depth, at_once=upscaler.at_once)
            self._frames = self._read_some(source)

    def measure(self, on_step: Callable[[str], None]) -> BenchCase:
        on_step("decoding alone")
        decode_ms = self._decode_alone()
        on_step("the network alone")
        engine_ms = self._engine_alone()
        on_step("encoding alone")
        encode_ms = self._encode_alone()
        alone = {"decode": decode_ms, **engine_ms, "encode": encode_ms}
        on_step("all together")
        together = self._together()
        peak_mb = peak_rss_mb()  # before the naive loop, which compiles a second network for itself
        on_step("one after the other")
        serial_fps = self._serial()
        video = self._source_format
        targets = {f"{target:g}": target for target in self._plan.targets}
        upscaler = self._upscaler
        return BenchCase(
            model=upscaler.info.name,
            device=str(upscaler.device),
            runtime=upscaler.runtime,
            precision=upscaler.precision,
            encoder=self._plan.encoder.name if self._plan.encoder else "null",
            depth=self._plan.depth,
            source=str(video),
            target=str(self._engine.target),
            frames_in=together.frames_in,
            frames_out=together.frames_out,
            frames_concealed=together.frames_concealed,
            warm_up_frames=together.warm_up_frames,
            fps=together.fps,
            serial_fps=serial_fps,
            stages_alone_ms=alone,
            stages_together=together.stages,
            bottleneck=max(alone, key=lambda stage: alone[stage]),
            verdicts={name: together.fps >= target for name, target in targets.items()},
            headroom={name: together.fps / target for name, target in targets.items()},
            media_fps=float(video.frame_rate) if video.frame_rate else None,
            tiles=upscaler.plan(video.height, video.width).count,
            gpu=together.gpu,
            rss_before_mb=self._rss_before_mb,
            peak_rss_mb=peak_mb,
        )

    def _open(self) -> LoopedFilm:
        return LoopedFilm(self._film, deinterlace=self._plan.deinterlace, threads=self._plan.decoder_threads)

    def _new_sink(self) -> Sink:
        if self._plan.encoder is None:
            return NullSink(self._engine.target)
        return FileSink(
            next(self._results),
            self._engine.target,
            encoder=self._plan.encoder,
            copy_from=None,
            threads=self._plan.encoder_threads,
        )

    def _read_some(self, source: LoopedFilm) -> list[Frame]:
        """One frame for each slot, left in the slot's buffers."""
        return [source.read(slot.host_in) for slot in self._engine.slots]

    def _decode_alone(self) -> float:
        """The mean: a decoder with frame threads gives most pictures in no time and some after a long one."""
        planes = self._source_format.new_planes()
        with self._open() as source:
            return statistics.fmean(_seconds_each(lambda: source.read(planes), self._plan.seconds)) * 1000

    def _engine_alone(self) -> dict[str, float]:
        """Upload, network and download of the same frames again and again, as many at a time as the engine gains by:
        their medians."""
        at_once = min(self._upscaler.at_once, len(self._engine.slots))
        slots = itertools.cycle(self._engine.slots)
        samples: dict[str, list[float]] = {stage: [] for stage in STAGES}

        def once() -> None:
            taken = list(itertools.islice(slots, at_once))
            for slot in taken:
                self._engine.submit(slot)
            for slot in taken:
                slot.wait()
            for stage in STAGES:
                samples[stage].append(statistics.fmean(slot.events[stage].seconds for slot in taken) / at_once)

        _seconds_each(once, self._plan.seconds)
        self._engine.drain()
        return {stage: statistics.median(times[WARM_UP_FRAMES:]) * 1000 for stage, times in samples.items()}

    def _encode_alone(self) -> float:
        """Encode the slots' upscaled pictures in turn, with rising timestamps. The mean, as of decoding, from the first
        picture, which opens the encoder, to the last one out of it."""
        sink = self._new_sink()
        slots: itertools.cycle[Slot] = itertools.cycle(self._engine.slots)
        step = max(self._frames[0].duration, 1)
        count = itertools.count()

        def once() -> None:
            index = next(count)
            sink.write(_frame(index, index * step, step, next(slots).host_out))

        once()
        began = time.perf_counter()
        _seconds_each(once, self._plan.seconds)
        sink.close()
        return (time.perf_counter() - began) * 1000 / next(count)

    def _serial(self) -> float:
        """Frames per second of the naive loop."""
        sink = self._new_sink()
        slot = self._engine.slots[0]
        with self._open() as source:

            def once() -> None:
                frame = source.read(slot.host_in)
                self._engine.process(slot)
                sink.write(dataclasses.replace(frame, planes=slot.host_out))

            times = _seconds_each(once, self._plan.seconds)
            began = time.perf_counter()
            sink.close()
            flush_seconds = time.perf_counter() - began
        return len(times) / (sum(times) + flush_seconds)

    def _together(self) -> _Together:
        """The pipeline as it really runs, stopped after the wanted time.

        While the encoder opens, every slot is filled and waits: these too belong to the warm-up."""
        stop = Stop()
        warm_up = WARM_UP_FRAMES + len(self._engine.slots)
        timings = StageTimings()
        sink = self._new_sink()
        written_at: list[float] = []

        def note(frame: Frame) -> None:
            del frame
            written_at.append(time.perf_counter())
            if len(written_at) == warm_up:
                timings.forget()
            enough = len(written_at) > warm_up + WARM_UP_FRAMES
            if enough and written_at[-1] - written_at[warm_up] > self._plan.seconds:
                stop.request()

        monitor = GpuMonitor(self._upscaler.device)
        with self._open() as source, monitor.watching() as gpu:
            counts = run(source, self._engine, sink, timings=timings, progress=note, stop=stop)
            sink.close()
            done = time.perf_counter()
            concealed = source.frames_concealed
        return _Together(
            frames_in=counts.frames_in,
            frames_out=counts.frames_out,
            frames_concealed=concealed,
            warm_up_frames=warm_up,
            fps=(counts.frames_out - warm_up) / (done - written_at[warm_up - 1]),
            stages=dict(timings.summary()),
            gpu=gpu.summary(),
        )


@dataclass(frozen=True, slots=True)
class _Together:
    frames_in: int
    frames_out: int
    frames_concealed: int
    warm_up_frames: int
    fps: float
    stages: dict[str, StageSummary]
    gpu: GpuSummary | None


def _frame(index: int, pts: int, duration: int, planes: Planes) -> Frame:
    return Frame(index=index, pts=pts, duration=duration, planes=planes)


def _seconds_each(once: Callable[[], object], seconds: float) -> list[float]:
    """Call `once` for about `seconds` after the warm-up, at least five times; how long each call took."""
    for _ in range(WARM_UP_FRAMES):
        once()
    times: list[float] = []
    total_seconds = 0.0  # kept: tiny pictures take microseconds, and adding up all of them each time took minutes
    while total_seconds < seconds or len(times) < 5:
        began = time.perf_counter()
        once()
        times.append(time.perf_counter() - began)
        total_seconds += times[-1]
    return times
