"""What `bench` says where it cannot measure all that it was asked for."""

from __future__ import annotations

import json
import os
import signal
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
import typer

from lipt_stream.cli import bench
from lipt_stream.errors import DeviceError, OutputError, SettingsError
from lipt_stream.observe.timings import StageTimings
from lipt_stream.stream.bench_case import BenchCase, BenchPlan


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
        warm_up_frames=3,
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


def test_a_chart_is_drawn_of_what_was_measured_before_a_signal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")

    def told_to_end(_plan: object, width: int, *_: object) -> BenchCase:
        if width > 64:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return measured()

    monkeypatch.setattr(bench, "bench_size", told_to_end)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(typer.Exit) as ended:
        bench.bench(resolution=["64x48", "1080p"], model="nano", device="cpu", chart=tmp_path / "stages.png")
    assert ended.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert "limited by network" in capsys.readouterr().out
    assert (tmp_path / "stages.png").stat().st_size > 1000


def test_a_chart_that_would_be_a_folder_is_refused_before_minutes_of_measuring(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "chart.png").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        bench.bench(resolution=["64x48"], chart=tmp_path / "chart.png")


def test_a_film_has_its_own_rate() -> None:
    with pytest.raises(SettingsError, match=r"film\.mp4 has its own rate\. Leave --rate out"):
        bench.bench(Path("film.mp4"), rate=60)


def test_a_film_is_measured_with_the_encoder_that_it_would_get_and_against_its_own_rate(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = tmp_path / "film.webm"
    with av.open(str(clip)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream("libvpx", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        small = next(source.decode(video=0)).reformat(64, 48)
        small.pts, small.time_base = 0, Fraction(1, 25)
        target.mux([*stream.encode(small), *stream.encode(None)])
    asked: list[BenchPlan] = []

    def noted(plan: BenchPlan, *_: object) -> BenchCase:
        asked.append(plan)
        return measured()

    monkeypatch.setattr(bench, "bench_file", noted)
    bench.bench(film, model="nano", device="cpu")
    (plan,) = asked
    assert plan.encoder
    assert (plan.encoder.name, plan.suffix, plan.targets) == ("libsvtav1", ".webm", [24, 25, 30, 60])
