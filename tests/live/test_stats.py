"""What a live session measures, by a clock of the test's own."""

from __future__ import annotations

import pytest

from lipt_stream.live.stats import WINDOW_SECONDS, Latency, LiveMeters


def test_what_is_of_the_last_seconds_is_over_with_them() -> None:
    now = 0.0
    meters = LiveMeters(clock=lambda: now)
    meters.went_out(0.1, tiles=10, tiles_reused=9)
    assert meters.latency.p50_ms == pytest.approx(100)
    assert meters.reused_share == pytest.approx(0.9)
    now = WINDOW_SECONDS + 1  # the camera is gone
    assert meters.latency == Latency(None, None, None), "0 would be the best there is"
    assert meters.reused_share == 0
