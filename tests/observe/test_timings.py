"""Stage clocks and frame rates."""

from __future__ import annotations

import threading
import time
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.observe.timings import RESERVOIR, RateMeter, StageTimings, percentile

durations = st.lists(st.floats(0, 1e4, allow_nan=False), min_size=1, max_size=200)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(durations)
def test_a_short_summary_is_exact(seconds):
    timings = StageTimings()
    for each in seconds:
        timings.add("network", each)
    (name, summary), *rest = timings.summary().items()
    assert (name, rest) == ("network", [])
    assert summary.count == len(seconds)
    assert summary.total_seconds == pytest.approx(sum(seconds))
    assert summary.mean_ms == pytest.approx(1000 * np.mean(seconds))
    assert summary.max_ms == 1000 * max(seconds)
    expected = np.percentile(seconds, [50, 95, 99]) * 1000
    np.testing.assert_allclose([summary.p50_ms, summary.p95_ms, summary.p99_ms], expected, rtol=1e-9, atol=1e-9)


def test_a_long_summary_has_exact_sums_and_unbiased_percentiles():
    """100,000 durations that grow with time: a sample that favoured early or late ones would be far off."""
    timings = StageTimings()
    count = 100_000
    for index in range(count):
        timings.add("frame", index / count)
    summary = timings.summary()["frame"]
    assert summary.count == count
    assert summary.total_seconds == pytest.approx((count - 1) / 2)
    assert summary.max_ms == pytest.approx(1000 * (count - 1) / count)
    # the standard error of a percentile p of n samples is sqrt(p (1 - p) / n): four of them each
    for value, percent in ((summary.p50_ms, 0.50), (summary.p95_ms, 0.95), (summary.p99_ms, 0.99)):
        assert abs(value / 1000 - percent) < 4 * (percent * (1 - percent) / RESERVOIR) ** 0.5


def test_a_measured_block_is_timed_and_a_failing_one_is_not_counted():
    timings = StageTimings()
    with timings.measure("encode"):
        time.sleep(0.02)
    with pytest.raises(OSError, match="disk"), timings.measure("encode"):
        raise OSError("disk")
    summary = timings.summary()["encode"]
    assert summary.count == 1
    assert 20 <= summary.max_ms < 2000


def test_stages_keep_the_order_of_the_pipeline():
    timings = StageTimings()
    assert timings.summary() == {}
    timings.add("frame", 9.0)
    timings.add("encode", 1.0)
    timings.add("decode", 0.4)
    timings.add("decode", 0.5)
    timings.add("network", 0.8)
    assert list(timings.summary()) == ["decode", "network", "encode", "frame"]


def test_a_mistyped_stage_is_an_error_and_summaries_are_frozen():
    timings = StageTimings()
    with pytest.raises(KeyError):
        timings.add("decod", 1.0)
    with pytest.raises(KeyError), timings.measure("encod"):
        pass
    timings.add("decode", 1.0)
    with pytest.raises(FrozenInstanceError):
        timings.summary()["decode"].count = 2  # type: ignore[misc]


def test_threads_lose_no_duration():
    timings = StageTimings()
    each = 5000

    def work(stage: str) -> None:
        for _ in range(each):
            timings.add(stage, 0.001)

    stages = ("decode", "network", "encode", "encode")  # two threads on one stage is no fault either
    threads = [threading.Thread(target=work, args=(stage,)) for stage in stages]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for summary in timings.summary().values():
            assert summary.total_seconds == pytest.approx(summary.count * 0.001)
    for thread in threads:
        thread.join()
    counts = {stage: summary.count for stage, summary in timings.summary().items()}
    assert counts == {"decode": each, "network": each, "encode": 2 * each}


@given(durations.map(sorted), st.floats(0, 100))
def test_percentiles_agree_with_numpy(ordered, percent):
    assert percentile(ordered, percent) == pytest.approx(np.percentile(ordered, percent), rel=1e-9, abs=1e-9)


def test_rates_count_whole_intervals():
    clock = Clock()
    meter = RateMeter(window_seconds=2.0, clock=clock)
    assert (meter.windowed, meter.average) == (0.0, 0.0)
    clock.now += 5.0  # loading takes time that is no frame's
    assert meter.elapsed_seconds == 0.0
    meter.tick()
    assert (meter.windowed, meter.average) == (0.0, 0.0)
    for _ in range(50):
        clock.now += 0.04
        meter.tick()
    assert meter.windowed == pytest.approx(25.0)
    assert meter.average == pytest.approx(25.0)
    assert meter.elapsed_seconds == pytest.approx(2.0)


def test_the_window_forgets_and_the_average_does_not():
    clock = Clock()
    meter = RateMeter(window_seconds=2.0, clock=clock)
    for interval, ticks in ((0.1, 101), (0.02, 500)):
        for _ in range(ticks):
            meter.tick()
            clock.now += interval
    clock.now -= 0.02
    assert meter.windowed == pytest.approx(50.0, rel=1e-6)
    assert meter.average == pytest.approx(600 / (101 * 0.1 + 499 * 0.02))


def test_a_stall_shows_while_it_lasts():
    clock = Clock()
    meter = RateMeter(window_seconds=2.0, clock=clock)
    for _ in range(41):
        clock.now += 0.05
        meter.tick()
    rates = []
    for _ in range(5):
        rates.append(meter.windowed)
        clock.now += 1.0
    assert rates[0] == pytest.approx(20.0)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 8


def test_after_a_stall_the_rate_is_none_and_the_usual_one_is_kept():
    clock = Clock()
    meter = RateMeter(window_seconds=3.0, clock=clock)
    for _ in range(1801):
        clock.now += 1 / 30
        meter.tick()
    assert (meter.windowed, meter.usual) == (pytest.approx(30), pytest.approx(30))
    clock.now += 2.0
    assert meter.windowed == pytest.approx(10, rel=0.05), "one of three seconds had pictures"
    for seconds in (1.1, 10, 600):
        clock.now += seconds
        assert (meter.windowed, meter.usual) == (0, pytest.approx(30))
    meter.tick()
    clock.now += 1 / 20
    meter.tick()
    assert (meter.windowed, meter.usual) == (pytest.approx(20), pytest.approx(20)), "of after the stall alone"


def test_a_rate_below_one_frame_per_window_is_still_told():
    clock = Clock()
    meter = RateMeter(window_seconds=1.0, clock=clock)
    for _ in range(4):
        meter.tick()
        clock.now += 8.0
    assert meter.windowed == pytest.approx(1 / 8)
    assert meter.average == pytest.approx(1 / 8)


def test_ticks_that_coincide_divide_by_nothing():
    meter = RateMeter(clock=Clock())
    meter.tick()
    meter.tick()
    assert (meter.windowed, meter.average) == (0.0, 0.0)
