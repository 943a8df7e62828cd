"""The line that shows a run: its figures."""

from __future__ import annotations

import pytest
from rich.console import Console

from lipt_stream.cli import progress
from lipt_stream.stream.upscale import Progress


def update(frames: int) -> Progress:
    """Of a film of 25 frames a second, upscaled at 50."""
    return Progress(
        frames=frames,
        frames_total=100,
        fps_now=50.0,
        fps_average=50.0,
        media_seconds=frames / 25,
        elapsed_seconds=(frames - 1) / 50,
    )


@pytest.mark.parametrize("frames", [2, 10, 100])
def test_times_real_time_are_those_of_the_average_rate(
    frames: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_SECONDS", 0)
    with progress.display("film", Console(), quiet=False) as show:
        show(update(frames))
    assert "50.0 fps (avg 50.0)  2.00x" in capsys.readouterr().out
