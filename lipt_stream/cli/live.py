"""`lipt-stream live`: a camera or a stream, upscaled as it comes."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer
from rich.console import Console

from lipt_stream.cli import options
from lipt_stream.cli.live_panel import LivePanel
from lipt_stream.cli.live_run import present
from lipt_stream.cli.screen import screen
from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import Target, parse_targets
from lipt_stream.media.live_address import live_address
from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server

LOOPBACK: Final = "127.0.0.1"


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
        typer.Option(
            help="Pin one network: nano, tiny, another name, a file; or lanczos.",
            show_default="auto: the best that holds the rate",
        ),
    ] = None,
    latency: Annotated[float, typer.Option(help="Milliseconds from a picture's arrival to the sinks.")] = 200.0,
    duration: Annotated[
        str | None, typer.Option(help="End when pictures have flowed so long: seconds, M:SS or H:MM:SS.")
    ] = None,
    stats: Annotated[Path | None, typer.Option(help="Write a JSON line a second here ('-': stdout).")] = None,
    require_fps: Annotated[
        float | None, typer.Option(help="Exit with 4 where fewer pictures a second came out, from the first one on.")
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
    stall: Annotated[float, typer.Option(help="Seconds without a picture that count as a fault.")] = 3.0,
    retries: Annotated[int | None, typer.Option(help="Connections to try again.", show_default="for ever")] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    encoder: Annotated[str, typer.Option(help="libx264 or h264_nvenc.", show_default="auto")] = "auto",
    crf: Annotated[
        int | None,
        typer.Option(help="Constant quality, as long as the bit rate allows.", show_default="23 with libx264"),
    ] = None,
    bitrate: Annotated[
        int | None, typer.Option(help="The highest bit rate, in kbit/s.", show_default="0.25 bits a pixel")
    ] = None,
    keyframe: Annotated[float, typer.Option(help="Seconds between keyframes.")] = 1.0,
    segment: Annotated[str | None, typer.Option(help="Split written files after this time.")] = None,
    record_to: Annotated[Path, typer.Option(help="Where the page's recordings go.")] = Path(),
    host: Annotated[str, typer.Option(help="The address to listen on: 0.0.0.0 for other machines too.")] = LOOPBACK,
    port: Annotated[int | None, typer.Option(help="The page's port.", show_default="8710, or a free one")] = None,
    page_url: Annotated[
        str | None, typer.Option(help="The page's address behind a proxy: https://cameras.example.org.")
    ] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="Serve /metrics, also without a preview.")] = False,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Upscale a camera or a stream as it comes, hold the rate, and say whether it does.

    Ends with Ctrl-C, with --duration, or with a file. Exit codes: 4 where --require-fps was missed, 130 and 143 after
    a signal.
    """
    address = live_address(source, size=size, rate=rate, pix_fmt=pix_fmt, transport=_transport(transport), loop=loop)
    segment_seconds = options.parse_time("--segment", segment)
    if segment_seconds == 0:
        raise SettingsError(f"--segment {segment} splits nothing", "Give more than 0 seconds, or leave it out")
    if require_fps is not None and not 0 < require_fps < math.inf:
        raise SettingsError(f"--require-fps {require_fps:g} is no rate", "Give pictures a second, above 0")
    targets = parse_targets(to or ["preview"], segment_seconds or 0.0)
    spec = LiveSpec(
        model=model or "auto",
        scale=2 if scale is None else scale,
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
        has_page=preview is not None,
        metrics=metrics,
        is_placed=(host, port, page_url) != (LOOPBACK, None, None),
        record_to=record_to,
    )
    console = Console(file=screen(sys.stderr if as_json or stats == Path("-") else sys.stdout), emoji=False)
    session = LiveSession(
        address,
        [target for target in targets if target.kind != "preview"],
        spec,
        preview=preview,
        record_to=record_to,
    )
    server = None
    if preview is not None or metrics:
        server = Server(session, preview, host=host, port=port, page_url=page_url)
    present(
        session,
        LivePanel(console, quiet=quiet),
        server=server,
        has_page=preview is not None,
        stats=stats,
        report_as="json" if as_json else "nothing" if quiet else "words",
        require_fps=require_fps,
    )


def _require_folders(targets: Sequence[Target]) -> None:
    """What can be known before any work is said before it."""
    for target in targets:
        folder = Path(target.url).parent.parent if target.kind == "hls" else Path(target.url).parent
        if target.kind in ("file", "hls") and not folder.is_dir():
            raise OutputError(f"Cannot write {target.name}: there is no folder {folder}", "Make it first")


def _refuse_idle(*, has_page: bool, metrics: bool, is_placed: bool, record_to: Path) -> None:
    """An option that would do nothing is refused."""
    if is_placed and not (has_page or metrics):
        raise SettingsError(
            "--host, --port and --page-url are for the page and /metrics", "Add --to preview, or --metrics"
        )
    if record_to != Path() and not has_page:
        raise SettingsError("--record-to is for recordings that are begun on the page", "Add --to preview")


def _transport(text: str) -> Any:
    if text not in ("tcp", "udp"):
        raise SettingsError(f"--transport {text} is none of tcp and udp", "tcp loses nothing")
    return text


def _threshold(text: str) -> int | None:
    if text == "off":
        return None
    if not text.isdecimal():
        raise SettingsError(f"--reuse-threshold {text} is no number of codes", "Use 0 to 64, or off")
    return int(text)
