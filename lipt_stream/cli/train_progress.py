"""What a training run shows while it goes on: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from lipt_stream.cli.screen import can_redraw
from lipt_stream.train.loop import Progress
from lipt_stream.train.spec import TrainSpec

PLAIN_INTERVAL_SECONDS = 20.0


@contextlib.contextmanager
def show_degrading(console: Console) -> Generator[Callable[[int, int], None]]:
    """For the time in which pairs are made: told how many images are done, and of how many."""
    if not can_redraw(console):
        yield _plain_counts(console)
        return
    with Bar(TextColumn("degrading images"), BarColumn(), MofNCompleteColumn(), console=console) as bar:
        task = bar.add_task("", visible=False)
        yield lambda done, of: bar.update(task, completed=done, total=of, visible=True)


def _plain_counts(console: Console) -> Callable[[int, int], None]:
    last = time.monotonic()  # pairs that are there already are read in less than an interval

    def show(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_INTERVAL_SECONDS:
            last = time.monotonic()
            console.print(f"degrading images: {done} of {of}")

    return show


@contextlib.contextmanager
def show_training(console: Console, spec: TrainSpec) -> Generator[Callable[[Progress], None]]:
    if not can_redraw(console):
        yield _plain_lines(console, spec)
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), TextColumn("{task.fields[figures]}"))
    with Bar(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task(f"{spec.model}-x{spec.scale}", total=spec.seconds, figures="starting")
        yield lambda progress: bar.update(task, completed=progress.seconds, figures=_figures(progress, spec))


def _plain_lines(console: Console, spec: TrainSpec) -> Callable[[Progress], None]:
    last = -PLAIN_INTERVAL_SECONDS

    def show(progress: Progress) -> None:
        nonlocal last
        if progress.psnr_y is not None or time.monotonic() - last >= PLAIN_INTERVAL_SECONDS:
            last = time.monotonic()
            console.print(_figures(progress, spec), soft_wrap=True)

    return show


def _figures(progress: Progress, spec: TrainSpec) -> str:
    parts = [
        f"step {progress.step}",
        f"{progress.steps_per_second:.2f} steps/s",
        f"loss {progress.loss:.5f}",
        f"rate {progress.learning_rate:.2e}",
        f"{progress.seconds / 60:.1f} of {spec.minutes:g} min",
    ]
    if progress.psnr_y is not None:
        parts.append(f"{progress.psnr_y:.3f} dB")
    if progress.best_psnr_y is not None:
        parts.append(f"best {progress.best_psnr_y:.3f} dB")
    return " · ".join(parts)
