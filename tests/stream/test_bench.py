"""What `bench` measures is what it says: means where pictures come in bursts, and no warm-up in any time."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Frame, Planes
from lipt_stream.stream.bench import WARM_UP_FRAMES, bench_size
from lipt_stream.stream.bench_case import BenchCase, BenchPlan
from lipt_stream.stream.looped_film import LoopedFilm

BURST_FRAMES, BURST_SECONDS = 4, 0.04


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

    plan = BenchPlan(
        upscaler=Upscaler.load("nano-x2", device="cpu", runtime="torch"),
        depth=2,
        encoder=None,
        encoder_threads=None,
        decoder_threads=None,
        seconds=0.5,
        targets=[24],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoopedFilm, "read", in_bursts)
        return bench_size(plan, 32, 24, Fraction(30), steps.append)


def test_decoding_in_bursts_takes_its_mean(case: BenchCase) -> None:
    assert case.stages_alone_ms["decode"] > 1000 * BURST_SECONDS / BURST_FRAMES / 2, "a median would hide it"


def test_warm_up_frames_are_in_no_time(case: BenchCase) -> None:
    for stage in ("network", "encode", "frame"):
        assert case.stages_together[stage].count == case.frames_out - WARM_UP_FRAMES


def test_each_measurement_is_said_before_it_begins(case: BenchCase, steps: list[str]) -> None:
    del case
    assert steps == ["decoding alone", "the network alone", "encoding alone", "all together", "one after the other"]
