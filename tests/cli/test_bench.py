"""What `bench` says where it cannot measure all that it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipt_stream.cli import bench
from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.observe.timings import StageTimings
from lipt_stream.stream.bench_case import BenchCase


def measured() -> BenchCase:
    timings = StageTimings()
    timings.add("frame", 0.1)
    return BenchCase(
        model="nano-x2",
        device="cpu",
        runtime="torch",
        precision="float32",
        encoder="libx264",
        depth=4,
        source="64x48 yuv420p",
        target="128x96 yuv420p",
        frames_in=9,
        frames_out=9,
        frames_concealed=0,
        fps=25.0,
        serial_fps=20.0,
        stages_alone_ms={"decode": 1.0, "network": 40.0},
        stages_together=dict(timings.summary()),
        bottleneck="network",
        verdicts={"24": True},
        headroom={"24": 25 / 24},
        media_fps=30.0,
        tiles=1,
        gpu=None,
        rss_before_mb=1.0,
        peak_rss_mb=2.0,
    )


@pytest.mark.parametrize("as_json", [True, False])
def test_what_was_measured_before_memory_ran_out_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    def no_room_for_large_ones(_plan: object, width: int, *_: object) -> BenchCase:
        if width > 64:
            raise DeviceError("Out of memory while upscaling a frame")
        return measured()

    monkeypatch.setattr(bench, "bench_size", no_room_for_large_ones)
    with pytest.raises(DeviceError, match="Out of memory"):
        bench.bench(resolution=["64x48", "1080p"], model="nano", device="cpu", as_json=as_json)
    shown = capsys.readouterr().out
    if as_json:
        assert [case["fps"] for case in json.loads(shown)["cases"]] == [25.0]
    else:
        assert "limited by network" in shown
        assert "with 4 in flight" in shown


def test_a_film_has_its_own_rate() -> None:
    with pytest.raises(SettingsError, match=r"film\.mp4 has its own rate\. Leave --rate out"):
        bench.bench(Path("film.mp4"), rate=60)
