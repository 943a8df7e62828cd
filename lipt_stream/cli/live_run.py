"""A live session at a terminal: what it says while it runs, and how it ends, whatever holds that up.

Only this module's thread runs the session. What is said, and what is written of it, is done by two others (`Aside`): a
terminal may be held (Ctrl-S), and a pipe read by nobody.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import typer

from lipt_stream.cli.aside import Aside
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.live_panel import LivePanel, whole
from lipt_stream.cli.screen import say_error
from lipt_stream.cli.signals import stopping_on_signals
from lipt_stream.errors import LiptError, OutputError
from lipt_stream.live.report import LiveReport
from lipt_stream.live.session import LiveSession
from lipt_stream.media.redact import redact
from lipt_stream.web.server import Server

MISSED_RATE: Final = 4
SERVER_SECONDS: Final = 0.2
"""What the page's connections may take to end. With the limits of feed, journey and sinks, and SAY_SECONDS, it makes
less than 3 s."""
SAY_SECONDS: Final = 0.2
"""What a terminal may take at the end of a session that was told to end."""
SAY_TO_THE_END_SECONDS: Final = 10.0
"""What it may take where the session has ended by itself."""

ReportAs = Literal["words", "json", "nothing"]
Line = Mapping[str, Any]


def present(
    session: LiveSession,
    panel: LivePanel,
    *,
    server: Server | None,
    has_page: bool,
    stats: Path | None,
    report_as: ReportAs,
    require_fps: float | None,
) -> NoReturn:
    """Run the session, and end the program with its exit code: by typer.Exit, or at once where a thread is held inside
    a library or a write, which nobody can end."""
    said, written = Aside("screen"), Aside("written")

    def say(text: str) -> None:
        said.do(lambda: panel.say(text))

    def complain(text: str) -> None:
        said.do(lambda: say_error(text))

    file = _open_stats(stats) if stats else None
    writer = _StatsWriter(file, str(stats), say) if file else None

    def tell(line: Line) -> None:
        said.do(lambda: panel.show(line))
        if writer:
            writer.asked += 1
            written.do(functools.partial(writer.write, line))

    try:
        said.do(panel.start)
        with contextlib.ExitStack() as stack:
            stack.callback(said.do, panel.stop)
            signals = stack.enter_context(stopping_on_signals("finishing what is in flight", complain))
            if server:
                server.start()
                stack.callback(server.stop, SERVER_SECONDS)
                say(f"page: {server.page_words}" if has_page else f"metrics: {server.metrics_words}")
            report = session.run(on_stats=tell, on_event=say, stop=lambda: signals.stop.requested)
        if report_as == "json":
            written.do_last(lambda: typer.echo(json_line(report.to_json())))
        elif report_as == "words":
            said.do_last(lambda: [panel.say(text) for text in summary(report)])
        exit_code = signals.exit_code if signals.received else _exit_code(report, require_fps, complain)
    except typer.Exit as ended:  # a second signal
        exit_code = ended.exit_code
    except LiptError as error:
        if os.environ.get("LIPT_DEBUG"):
            raise
        complain(f"error: {_without_passwords(str(error))}")
        exit_code = error.exit_code
    if file:
        written.do(file.close)
    seconds = SAY_SECONDS if exit_code > 128 else SAY_TO_THE_END_SECONDS
    until = time.monotonic() + seconds
    is_written = written.finish(seconds / 2)
    if writer and writer.lost:
        complain(f"statistics: {writer.lost} of {writer.asked} lines did not reach {stats}")
    is_said = said.finish(max(0.0, until - time.monotonic()))
    if session.is_hanging or not (is_said and is_written):
        os._exit(exit_code)
    raise typer.Exit(exit_code)


def _without_passwords(text: str) -> str:
    """Of addresses in the place of something else, of which nobody knew that they are some. Others hide their own."""
    return redact(text) if ":/" in text else text


def summary(report: LiveReport) -> Iterator[str]:
    """What is said at the end, line by line."""
    yield f"{report.source}: {report.seconds:.1f} s"
    drops = ", ".join(f"{count} {reason}" for reason, count in report.dropped_by_reason.items()) or "none"
    yield f"  pictures: {report.frames_in} in, {report.frames_out} out, dropped: {drops}"
    if report.frames_damaged or report.sounds_dropped:
        yield f"  damaged: {report.frames_damaged} pictures; sound: {report.sounds_dropped} packets dropped"
    if report.frames_repeated:
        yield f"  sent again while there was no new one: {report.frames_repeated}"
    if not report.encoder:
        yield f"  no picture came; connections that failed: {report.faults}"
        return
    yield (
        f"  rate: {report.fps_out:.2f} fps, latency {whole(report.latency_p50_ms)} / {whole(report.latency_p95_ms)} / "
        f"{whole(report.latency_p99_ms)} ms (p50 / p95 / p99), peak memory {report.peak_rss_mb:.0f} MiB"
    )
    yield f"  network: {report.rung} at the end, {report.steps} steps of the ladder; encoder: {report.encoder}"
    if report.faults:
        yield f"  source: {report.faults} faults, {report.reconnects} times connected again"
    for sink in report.sinks:
        detail = f" ({sink.detail})" if sink.detail else ""
        cause = f", the last because: {sink.last_trouble}" if sink.restarts else ""
        yield (
            f"  to {sink.name}: {sink.delivered} delivered, {sink.dropped} dropped, "
            f"{sink.restarts} restarts{cause}{detail}"
        )
    for note in report.notes:
        yield f"  note: {note}"


def _exit_code(report: LiveReport, require_fps: float | None, say: Callable[[str], None]) -> int:
    """What a session that ended by itself is worth, and a line for each reason why it is not 0."""
    failed = [sink for sink in report.sinks if sink.state == "failed"]
    for sink in failed:
        say(f"error: {sink.name}: {sink.detail}")
    is_missed = require_fps is not None and report.fps_out < require_fps
    if is_missed:
        say(f"missed: {report.fps_out:.2f} of {require_fps:g} fps")
    return 1 if failed else MISSED_RATE if is_missed else 0


def _open_stats(path: Path) -> FileIO:
    try:
        to_stdout = path == Path("-")
        return FileIO(sys.stdout.fileno(), "w", closefd=False) if to_stdout else path.open("ab", buffering=0)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {os.strerror(error.errno or 0)}", "Check the folder") from error


class _StatsWriter:
    """Writes each line whole, and at once. A full disk, or a reader that has gone or takes none, costs lines, which is
    said once, and not the session. `asked` is counted by whoever asks for lines: not all come as far as `write`."""

    def __init__(self, file: FileIO, name: str, say: Callable[[str], None]) -> None:
        self._file, self._name, self._say = file, name, say
        self._has_failed = False
        self._written = 0
        self.asked = 0

    @property
    def lost(self) -> int:
        """Lines that were asked for and are not written, or not yet."""
        return self.asked - self._written

    def write(self, line: Line) -> None:
        try:
            self._append((json_line(line) + "\n").encode())
            self._written += 1
            self._has_failed = False
        except OSError as error:
            if not self._has_failed:
                words = os.strerror(error.errno or 0)
                self._say(f"statistics: cannot write {self._name}: {words}. The session goes on.")
            self._has_failed = True

    def _append(self, data: bytes) -> None:
        """All of `data` or, raising OSError, nothing of it."""
        written = 0
        try:
            while written < len(data):
                taken: int | None = self._file.write(data[written:])
                if taken is None:  # a pipe that does not block, and is full
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                written += taken
        except OSError:
            if written:
                self._file.truncate(self._file.tell() - written)
            raise
