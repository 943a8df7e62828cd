"""How a run shows itself: a bar on a terminal, plain lines elsewhere, and a summary at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from lipt_stream.cli.screen import can_redraw
from lipt_stream.engine.upscaler import pick_device
from lipt_stream.errors import one_line
from lipt_stream.observe.gpu import GpuMonitor
from lipt_stream.stream.report import Report
from lipt_stream.stream.upscale import Progress as Update

PLAIN_INTERVAL_SECONDS = 5.0
REDRAWN_SECONDS: Final = 0.25


class Display(Protocol):
    """Shows a run while it goes on."""

    def __call__(self, update: Update) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def display(name: str, console: Console, *, quiet: bool, device: str = "auto") -> Display:
    """The display that suits the console; the GPU memory shown is that of `device`."""
    if quiet:
        return Silent()
    name = one_line(name)
    return Bar(name, console, device) if can_redraw(console) else PlainLines(name, console)


class Silent:
    """Shows nothing."""

    def __call__(self, update: Update) -> None:
        del update

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class Bar:
    """A live line: frames, fps now and on average, times real time, time left, GPU memory."""

    def __init__(self, name: str, console: Console, device: str) -> None:
        short = Column(no_wrap=True, max_width=console.width // 4)  # a film's name is to leave room for the figures
        self._bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=short),  # it may be "Show [eng].mkv"
            BarColumn(bar_width=None),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            refresh_per_second=1 / REDRAWN_SECONDS,
        )
        self._gpu_memory = GpuMemory(device)
        self._task: TaskID = self._bar.add_task(name, total=None, figures="starting")

    def __call__(self, update: Update) -> None:
        total = max(update.frames_total, update.frames) if update.frames_total else None
        self._bar.update(self._task, completed=update.frames, total=total, figures=self._figures(update, total))

    def _figures(self, update: Update, total: int | None) -> str:
        return "  ".join(filter(None, [_frames(update, total), _rates(update), self._gpu_memory.text()]))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class GpuMemory:
    """What the GPU called `device` holds, in words, asked no more often than it is shown; nothing where it is none.

    The device is looked for when it is first asked: a run has one by then, and it is the run that says what is wrong
    with a name.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock = clock
        self._gpu: GpuMonitor | None = None
        self._asked = -inf
        self._text = ""

    def text(self) -> str:
        now = self._clock()
        if now - self._asked >= REDRAWN_SECONDS:
            self._asked = now
            self._gpu = self._gpu or GpuMonitor(pick_device(self._device))
            sample = self._gpu.sample()
            held_mb = sample.memory_used_mb if sample else None
            self._text = "" if held_mb is None else f"GPU {held_mb / 1024:.1f} GiB"
        return self._text


class PlainLines:
    """A line every few seconds, for logs."""

    def __init__(self, name: str, console: Console) -> None:
        self._name = name
        self._console = console
        self._last = time.monotonic()

    def __call__(self, update: Update) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_INTERVAL_SECONDS:
            self._last = now
            line = f"{self._name}: {_frames(update, update.frames_total)}  {_rates(update)}  {_time_left(update)}"
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


def print_summary(report: Report, console: Console) -> None:
    """Say what was done: counts, speed, network, and every note."""

    def say(text: str) -> None:
        console.print(one_line(text), soft_wrap=True, highlight=False, markup=False)

    state = "" if report.ok else " (a check failed: partial)" if report.complete else " (stopped early: partial)"
    say(f"{report.output or 'nothing kept'}{state}")
    say(f"  {report.source} -> {report.target}, {report.media_seconds:.2f} s of film")
    damaged = f", {report.frames_concealed} damaged" if report.frames_concealed else ""
    say(f"  frames: {report.frames_in} in, {report.frames_out} out, {report.frames_dropped} dropped{damaged}")
    say(
        f"  speed: {report.fps:.1f} fps, {report.realtime_factor:.2f}x real time, {report.seconds:.1f} s in all "
        f"({report.startup_seconds:.1f} s to start), peak memory {report.peak_rss_mb:.0f} MiB"
    )
    tiles = f", {report.tiles} tiles a frame" if report.tiles > 1 else ""
    say(f"  network: {report.model}, {report.precision} by {report.runtime} on {report.device}{tiles}")
    say(f"  encoder: {report.encoder}")
    if report.checks:
        failed = [f"{check.name} ({check.detail})" for check in report.checks if not check.ok]
        names = ", ".join(check.name for check in report.checks)
        say(f"  checked: {'FAILED: ' + '; '.join(failed) if failed else names + ' of the written file agree'}")
    for note in report.notes:
        say(f"  note: {note}")


def _frames(update: Update, total: int | None) -> str:
    return f"{update.frames}/{total} frames" if total else f"{update.frames} frames"


def _rates(update: Update) -> str:
    realtime = update.fps_average * update.media_seconds / update.frames if update.frames else 0.0
    return f"{update.fps_now:.1f} fps (avg {update.fps_average:.1f})  {realtime:.2f}x"


def _time_left(update: Update) -> str:
    if not update.frames_total or update.fps_average <= 0:
        return ""
    seconds = max(update.frames_total - update.frames, 0) / update.fps_average
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} left"
