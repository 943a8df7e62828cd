"""`lipt-stream live`: a camera or a stream, upscaled as it comes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from rich.console import Console

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.live_panel import LivePanel
from lipt_stream.cli.screen import say_error, screen
from lipt_stream.cli.signals import stopping_on_signals
from lipt_stream.errors import LiptError, OutputError, SettingsError
from lipt_stream.live.report import LiveReport
from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import Target, parse_targets
from lipt_stream.media.live_address import live_address
from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server

LOOPBACK: Final = "127.0.0.1"
MISSED_RATE: Final = 4
SERVER_SECONDS: Final = 0.4
"""What the page's connections may take to end. With the limits of feed, journey and sinks it makes less than 3 s."""


def live(
    source: Annotated[
        str,
        typer.Argument(
            help="webcam[:N|:/dev/videoN], screen, rtsp://, rtmp://, http(s)://, udp://, a file (played at its own "
            "speed), or test[:WxH@FPS].",
        ),
    ] = "test",
    to: Annotated[
        list[str] | None,
        typer.Option(
            help="preview, rtsp://, rtmp://, whip:https://, hls:DIR, FILE.mp4|.mkv|.ts, udp://, virtualcam or null; "
            "repeatable.",
            show_default="preview",
        ),
    ] = None,
    scale: options.Scale = None,
    model: Annotated[
        str | None,
        typer.Option(help="Pin one network, or lanczos.", show_default="auto: the best that holds the rate"),
    ] = None,
    latency: Annotated[float, typer.Option(help="Milliseconds from a picture's arrival to the sinks.")] = 200.0,
    duration: Annotated[str | None, typer.Option(help="End by itself after this: seconds, M:SS or H:MM:SS.")] = None,
    stats: Annotated[Path | None, typer.Option(help="Write a JSON line a second here ('-': stdout).")] = None,
    require_fps: Annotated[
        float | None, typer.Option(help="Exit with 4 where fewer pictures a second came out, over the whole session.")
    ] = None,
    reuse_threshold: Annotated[
        str,
        typer.Option(
            help="By how many of 255 codes a tile may move and still be reused, which costs: at 2, 4, 8 the worst "
            "pictures of two real cameras were 52, 44, 40 dB from computing all. off computes all."
        ),
    ] = "0",
    size: Annotated[str | None, typer.Option(help="Of a webcam or the screen: 640x480.")] = None,
    rate: Annotated[float | None, typer.Option(help="Pictures a second, of a webcam or the screen.")] = None,
    pix_fmt: Annotated[str | None, typer.Option(help="Of a webcam: yuyv422, mjpeg, ...")] = None,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    loop: Annotated[bool, typer.Option("--loop", help="Begin a file again where it ends.")] = False,
    realtime: Annotated[  # noqa: ARG001  files have no other speed here; whoever asks for it gets it
        bool, typer.Option("--realtime", help="Play a file at its own speed: always so.")
    ] = False,
    stall: Annotated[float, typer.Option(help="Seconds without a picture that count as a fault.")] = 3.0,
    retries: Annotated[int | None, typer.Option(help="Connections to try again.", show_default="for ever")] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    encoder: Annotated[str, typer.Option(help="libx264 or h264_nvenc.", show_default="auto")] = "auto",
    crf: Annotated[int | None, typer.Option(help="Constant quality, as long as the bit rate allows.")] = None,
    bitrate: Annotated[int | None, typer.Option(help="The highest bit rate, in kbit/s.")] = None,
    keyframe: Annotated[float, typer.Option(help="Seconds between keyframes.")] = 1.0,
    segment: Annotated[str | None, typer.Option(help="Split written files after this time.")] = None,
    record_to: Annotated[Path, typer.Option(help="Where the page's recordings go.")] = Path(),
    host: Annotated[str, typer.Option(help="The address that the page is served at.")] = LOOPBACK,
    port: Annotated[int | None, typer.Option(help="The page's port.", show_default="8710, or a free one")] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="Serve /metrics, also without a preview.")] = False,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Upscale a camera or a stream as it comes, hold the rate, and say whether it does.

    Ends with Ctrl-C, with --duration, or with a file. Exit codes: 4 where --require-fps was missed, 130 and 143 after
    a signal.
    """
    address = live_address(source, size=size, rate=rate, pix_fmt=pix_fmt, transport=_transport(transport), loop=loop)
    targets = parse_targets(to or ["preview"], options.parse_time("--segment", segment) or 0.0)
    spec = LiveSpec(
        model=model or "auto",
        scale=scale or 2,
        device=device or "auto",
        precision=cast("Any", precision or "auto"),
        runtime=cast("Any", runtime or "auto"),
        threads=threads,
        latency_ms=latency,
        duration_seconds=options.parse_time("--duration", duration),
        stall_seconds=stall,
        retries=retries,
        reuse_threshold=_threshold(reuse_threshold),
        encoder=encoder,
        crf=crf,
        bitrate_kbps=bitrate,
        keyframe_seconds=keyframe,
    )
    preview = Preview() if any(target.kind == "preview" for target in targets) else None
    _require_folders(targets)
    _refuse_idle(
        has_page=preview is not None, metrics=metrics, is_placed=(host, port) != (LOOPBACK, None), record_to=record_to
    )
    console = Console(file=screen(sys.stderr if as_json or stats == Path("-") else sys.stdout))
    session = LiveSession(
        address,
        [target for target in targets if target.kind != "preview"],
        spec,
        preview=preview,
        record_to=record_to,
    )
    with contextlib.ExitStack() as stack:
        panel = stack.enter_context(LivePanel(console, quiet=quiet))
        write_line = stack.enter_context(_stats_file(stats, panel.say))
        signals = stack.enter_context(stopping_on_signals("finishing what is in flight"))
        if preview is not None or metrics:
            server = Server(session, preview or Preview(), host=host, port=port)
            server.start()
            stack.callback(server.stop, SERVER_SECONDS)
            panel.say(f"page: {server.url}" if preview else f"metrics: {server.metrics_words}")

        def show(line: Mapping[str, Any]) -> None:
            panel.show(line)
            write_line(line)

        try:
            report = session.run(on_stats=show, on_event=panel.say, stop=lambda: signals.stop.requested)
        except LiptError as error:
            if session.is_hanging:
                say_error(f"error: {error}")
                _end_at_once(error.exit_code)
            raise
    if as_json:
        typer.echo(json_line(report.to_json()))
    elif not quiet:
        _summarise(report, console)
    exit_code = signals.exit_code if signals.received else _exit_code(report, require_fps)
    if session.is_hanging:
        _end_at_once(exit_code)
    raise typer.Exit(exit_code)


def _exit_code(report: LiveReport, require_fps: float | None) -> int:
    """What a session that ended by itself is worth, and a line for each reason why it is not 0."""
    failed = [sink for sink in report.sinks if sink.state == "failed"]
    for sink in failed:
        say_error(f"error: {sink.name}: {sink.detail}")
    is_missed = require_fps is not None and report.fps_out < require_fps
    if is_missed:
        say_error(f"missed: {report.fps_out:.2f} of {require_fps:g} fps")
    return 1 if failed else MISSED_RATE if is_missed else 0


def _end_at_once(exit_code: int) -> NoReturn:
    """Without waiting for threads that are inside a library: it would take them as long as it likes."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _require_folders(targets: Sequence[Target]) -> None:
    """What can be known before any work is said before it."""
    for target in targets:
        if target.kind == "file" and not Path(target.url).parent.is_dir():
            raise SettingsError(f"Cannot write {target.name}: there is no such folder", "Make it first")


def _refuse_idle(*, has_page: bool, metrics: bool, is_placed: bool, record_to: Path) -> None:
    """An option that would do nothing is refused."""
    if is_placed and not (has_page or metrics):
        raise SettingsError("--host and --port are for the page and /metrics", "Add --to preview, or --metrics")
    if record_to != Path() and not has_page:
        raise SettingsError("--record-to is for recordings that are begun on the page", "Add --to preview")


def _transport(text: str) -> Any:
    if text not in ("tcp", "udp"):
        raise SettingsError(f"--transport {text} is none of tcp and udp", "tcp loses nothing")
    return text


def _threshold(text: str) -> int | None:
    if text == "off":
        return None
    if not text.isdigit():
        raise SettingsError(f"--reuse-threshold {text} is no number of codes", "Use 0 to 64, or off")
    return int(text)


@contextlib.contextmanager
def _stats_file(path: Path | None, say: Callable[[str], None]) -> Generator[Callable[[Mapping[str, Any]], None]]:
    """Writes each line whole, and at once. A full disk, or a reader that has gone, costs lines, which is said once, and
    not the session."""
    if path is None:
        yield _say_nothing
        return
    try:
        to_stdout = path == Path("-")
        file = FileIO(sys.stdout.fileno(), "w", closefd=False) if to_stdout else path.open("ab", buffering=0)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {os.strerror(error.errno or 0)}", "Check the folder") from error
    has_failed = False

    def write(line: Mapping[str, Any]) -> None:
        nonlocal has_failed
        try:
            _append(file, (json_line(line) + "\n").encode())
            has_failed = False
        except OSError as error:
            if not has_failed:
                say(f"statistics: cannot write {path}: {os.strerror(error.errno or 0)}. The session goes on.")
            has_failed = True

    with file:
        yield write


def _say_nothing(line: Mapping[str, Any]) -> None:
    del line


def _append(file: FileIO, data: bytes) -> None:
    """All of `data` or, raising OSError, nothing of it."""
    written = 0
    try:
        while written < len(data):
            written += file.write(data[written:])
    except OSError:
        if written:
            file.truncate(file.tell() - written)
        raise


def _summarise(report: LiveReport, console: Console) -> None:
    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    say(f"{report.source}: {report.seconds:.1f} s")
    drops = ", ".join(f"{count} {reason}" for reason, count in report.dropped_by_reason.items()) or "none"
    say(f"  pictures: {report.frames_in} in, {report.frames_out} out, dropped: {drops}")
    if report.frames_repeated:
        say(f"  sent again while there was no new one: {report.frames_repeated}")
    say(
        f"  rate: {report.fps_out:.2f} fps, latency {report.latency_p50_ms:.0f} / {report.latency_p95_ms:.0f} / "
        f"{report.latency_p99_ms:.0f} ms (p50 / p95 / p99), peak memory {report.peak_rss_mb:.0f} MB"
    )
    say(f"  network: {report.rung} at the end, {report.steps} steps of the ladder; encoder: {report.encoder}")
    if report.faults:
        say(f"  source: {report.faults} faults, {report.reconnects} times connected again")
    for sink in report.sinks:
        detail = f" ({sink.detail})" if sink.detail else ""
        say(f"  to {sink.name}: {sink.delivered} delivered, {sink.dropped} dropped, {sink.restarts} restarts{detail}")
    for note in report.notes:
        say(f"  note: {note}")
