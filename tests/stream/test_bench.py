"""What `bench` measures is what it says: means where pictures come in bursts, and no warm-up in any time."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Frame, Planes
from lipt_stream.media.deinterlace import Deinterlace
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.null_sink import NullSink
from lipt_stream.observe.timings import StageTimings
from lipt_stream.stream import bench as module
from lipt_stream.stream import looped_film
from lipt_stream.stream.bench import WARM_UP_FRAMES, bench_file, bench_size
from lipt_stream.stream.bench_case import BenchCase, BenchPlan
from lipt_stream.stream.looped_film import LoopedFilm

BURST_FRAMES, BURST_SECONDS = 4, 0.04


def plan_of(*, depth: int, seconds: float, deinterlace: Deinterlace = "auto") -> BenchPlan:
    return BenchPlan(
        upscaler=Upscaler.load("nano-x2", device="cpu", runtime="torch"),
        depth=depth,
        encoder=None,
        suffix=".mkv",
        encoder_threads=None,
        decoder_threads=None,
        deinterlace=deinterlace,
        seconds=seconds,
        targets=[24],
    )


@pytest.fixture(scope="module")
def steps() -> list[str]:
    """What was said while the case was measured."""
    return []


@pytest.fixture(scope="module")
def case(steps: list[str]) -> BenchCase:
    """Of a decoder that gives four pictures at a time."""
    read, reads = LoopedFilm.read, 0

    def in_bursts(film: LoopedFilm, into: Planes) -> Frame:
        nonlocal reads
        reads += 1
        if reads % BURST_FRAMES == 0:
            time.sleep(BURST_SECONDS)
        return read(film, into)

    plan = plan_of(depth=2, seconds=0.5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopedFilm, "read", in_bursts)
        return bench_size(plan, 32, 24, Fraction(30), steps.append)


def test_decoding_in_bursts_takes_its_mean(case: BenchCase) -> None:
    assert case.stages_alone_ms["decode"] > 1000 * BURST_SECONDS / BURST_FRAMES / 2, "a median would hide it"


def test_warm_up_frames_are_in_no_time(case: BenchCase) -> None:
    for stage in ("network", "encode", "frame"):
        assert case.stages_together[stage].count == case.frames_out - case.warm_up_frames


def test_each_measurement_is_said_before_it_begins(case: BenchCase, steps: list[str]) -> None:
    del case
    assert steps == ["decoding alone", "the network alone", "encoding alone", "all together", "one after the other"]


def test_no_frame_that_waited_for_the_encoder_to_open_is_counted(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile every slot is filled, and waits."""
    opened_at: list[float] = []
    counted_from: list[float] = []
    add, forget = StageTimings.add, StageTimings.forget

    class OpeningSink(NullSink):
        def write(self, frame: Frame) -> None:
            if frame.index == 0:
                time.sleep(0.2)
                opened_at.append(time.perf_counter())
            super().write(frame)

    def added(timings: StageTimings, stage: str, seconds: float) -> None:
        add(timings, stage, seconds)
        if stage == "frame":
            counted_from.append(time.perf_counter() - seconds)

    def forgotten(timings: StageTimings) -> None:
        forget(timings)
        counted_from.clear()

    monkeypatch.setattr(module, "NullSink", OpeningSink)
    monkeypatch.setattr(StageTimings, "add", added)
    monkeypatch.setattr(StageTimings, "forget", forgotten)
    plan = plan_of(depth=8, seconds=0.01)
    case = module._Bench(plan, clip, tmp_path)._together()
    assert case.warm_up_frames == WARM_UP_FRAMES + plan.depth
    assert len(counted_from) == case.frames_out - case.warm_up_frames > 0
    assert min(counted_from) > opened_at[0] - 0.01


def test_a_film_is_deinterlaced_as_it_would_be_upscaled(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def source(film: Path, *, deinterlace: Deinterlace, threads: int | None) -> FileSource:
        asked.append(deinterlace)
        return FileSource(film, deinterlace=deinterlace, threads=threads)

    monkeypatch.setattr(looped_film, "FileSource", source)
    plan = plan_of(depth=2, seconds=0.01, deinterlace="on")
    bench_file(plan, clip)
    assert set(asked) == {"on"}
