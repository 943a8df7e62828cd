"""The line that shows a run: its figures, and how often a GPU is asked for them."""

from __future__ import annotations

import io
import os
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from rich.console import Console

from lipt_stream.cli import progress
from lipt_stream.stream.upscale import Progress
from tests.program import run_program


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


@pytest.mark.parametrize("name", ["Show [eng] [x265].mkv", "a[/b].mp4"])
def test_a_films_name_in_brackets_is_shown_as_it_is(name: str) -> None:
    shown = io.StringIO()
    with progress.display(name, Console(file=shown, force_terminal=True, width=120), quiet=False, device="cpu") as show:
        show(update(2))
    assert name in shown.getvalue()


def test_what_a_film_says_steers_no_terminal() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    with progress.display("a\x1b[2J\nb.mp4", console, quiet=False, device="cpu") as show:
        show(update(2))
    assert "\x1b[2J" not in shown.getvalue()
    assert r"a\x1b[2J\nb.mp4" in shown.getvalue()


def test_a_long_name_leaves_room_for_the_figures() -> None:
    shown = io.StringIO()
    name = "A long name of a film that somebody recorded on the 12th of March in 1989, part two.mkv"
    with progress.display(name, Console(file=shown, force_terminal=True, width=80), quiet=False, device="cpu") as show:
        show(update(2))
    assert "2/100 frames  50.0 fps (avg 50.0)  2.00x" in shown.getvalue()


def test_a_terminal_that_cannot_be_drawn_over_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(progress, "PLAIN_INTERVAL_SECONDS", 0)
    shown = io.StringIO()
    with progress.display("film", Console(file=shown, force_terminal=True), quiet=False, device="cpu") as show:
        show(update(2))
        assert "2/100 frames" in shown.getvalue(), "while it runs, and not at its end"


def with_a_terminal() -> None:
    os.environ["FORCE_COLOR"] = "1"  # rich then takes anything for one


@pytest.mark.parametrize("device", ["cuda:x", "cuda:99999999999", "cuda:01"])
def test_a_device_that_is_none_is_told_alike_on_a_terminal(clip: Path, tmp_path: Path, device: str) -> None:
    words = ("upscale", clip, tmp_path / "x.mp4", "--device", device)
    shown, piped = run_program(*words, before=with_a_terminal), run_program(*words)
    assert (shown.returncode, shown.stderr) == (piped.returncode, piped.stderr)
    assert "defect" not in piped.stderr


def test_the_gpu_is_asked_as_often_as_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    now = 0.0

    class Monitor:
        def __init__(self, device: object) -> None: ...

        def sample(self) -> None:
            asked.append(now)

    monkeypatch.setattr(progress, "GpuMonitor", Monitor)
    memory = progress.GpuMemory("cpu", clock=lambda: now)
    for tick in range(101):
        now = tick / 100
        assert memory.text() == ""
    assert asked == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_what_a_film_says_in_a_note_steers_no_terminal() -> None:
    shown = io.StringIO()
    report = MagicMock(notes=("the attachment \x1b]0;owned\x07\nfake: line.ttf is left out",), checks=(), tiles=1)
    for name in ("media_seconds", "fps", "realtime_factor", "seconds", "startup_seconds", "peak_rss_mb"):
        setattr(report, name, 1.0)
    progress.print_summary(report, Console(file=shown, force_terminal=True, width=120))
    assert r"\x1b]0;owned\x07\nfake: line.ttf is left out" in shown.getvalue()
    assert "\x1b]" not in shown.getvalue()
