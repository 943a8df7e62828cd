"""`lipt-stream bench`: will it hold on this machine?"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lipt_stream.cli import options
from lipt_stream.cli.chart import check_chart, draw_chart
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.screen import screen
from lipt_stream.cli.signals import terminated_in_order
from lipt_stream.errors import SettingsError
from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.encoders import EncoderChoice
from lipt_stream.media.file_source import FileSource
from lipt_stream.stream.bench import bench_file, bench_size
from lipt_stream.stream.bench_case import BenchCase, BenchPlan
from lipt_stream.stream.jobs import result_suffix
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.stream.upscale import load_upscaler

DEFAULT_TARGETS: Final = (24.0, 30.0, 60.0)
SYNTHETIC_SUFFIX: Final = ".mkv"
DEFAULT_RATE: Final = 30.0
DEFAULT_RESOLUTIONS: Final = ("360p", "720p", "1080p")
WIDTHS: Final = {180: 320, 270: 480, 360: 640, 480: 854, 540: 960, 720: 1280, 1080: 1920, 1440: 2560, 2160: 3840}
MISSED_TARGET: Final = 3
_LEAST_RATE, _MOST_RATE = 0.1, 1000.0
_REDRAWS_PER_SECOND: Final = 2  # it is measured beside them
_LONGEST_SIDE: Final = 16_384  # of what encoders take


def bench(
    film: Annotated[
        Path | None, typer.Argument(help="A film to measure on.", show_default="a synthetic one of each resolution")
    ] = None,
    resolution: Annotated[
        list[str] | None,
        typer.Option("--resolution", "-r", help="Source size: 360p, 720p, WxH, ...; may be repeated."),
    ] = None,
    target: Annotated[
        list[float] | None,
        typer.Option(
            "--target",
            "-t",
            help="Frames per second that must hold; may be repeated.",
            show_default="24, 30, 60 and the film's",
        ),
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Frame rate of the synthetic film.", show_default="30")] = None,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 5.0,
    scale: options.Scale = None,
    model: options.Model = None,
    preset: options.Preset = None,
    device: options.Device = None,
    precision: options.Precision = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    depth: options.Depth = None,
    tile: options.Tile = None,
    encoder: Annotated[
        str | None, typer.Option(help="As in upscale; null throws the frames away.", show_default="auto")
    ] = None,
    chart: Annotated[
        Path | None, typer.Option(help="Write a bar chart of the stages to this .png, .svg or .pdf.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Time decode, upload, network, download and encode, apart and together, and compare with target rates.

    Exit code 3 where a target given with --target is missed at any resolution.
    """
    if film and (resolution or rate is not None):
        own, option = ("size", "--resolution") if resolution else ("rate", "--rate")
        raise SettingsError(f"{film} has its own {own}", f"Leave {option} out, or measure synthetic films without it")
    rate = DEFAULT_RATE if rate is None else rate
    if not all(0 < number < math.inf for number in (seconds, rate, *(target or ()))):
        raise SettingsError("--seconds, --rate and --target are positive numbers")
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        raise SettingsError(f"--rate {rate:g} is no film's", f"Give one from {_LEAST_RATE:g} to {_MOST_RATE:g}")
    frame_rate = Fraction(rate).limit_denominator(1001)
    if chart:
        check_chart(chart)
    sizes = [parse_resolution(text) for text in resolution or DEFAULT_RESOLUTIONS]
    changes = {
        "scale": scale,
        "model": model,
        "device": device,
        "precision": precision,
        "runtime": runtime,
        "threads": threads,
        "depth": depth,
        "tile": tile,
        "encoder": encoder,
    }
    spec = options.build_spec(preset, changes)
    video = _format_of(film, spec) if film else None
    suffix = result_suffix(film, spec.encoder) if film else SYNTHETIC_SUFFIX
    bit_depth = video.bit_depth if video else 8
    sizes = [(video.width, video.height)] if video else sizes
    chosen = None if spec.encoder == "null" else encoder_for(spec, sizes, bit_depth, suffix)

    def new_plan() -> BenchPlan:
        """With a network of its own: what it compiles for one size goes away with it."""
        return BenchPlan(
            upscaler=load_upscaler(spec),
            depth=spec.depth,
            encoder=chosen,
            suffix=suffix,
            encoder_threads=spec.encoder_threads,
            decoder_threads=spec.decoder_threads,
            deinterlace=spec.deinterlace,
            seconds=seconds,
            targets=target or _usual_targets(video),
        )

    cases: list[BenchCase] = []
    with (
        terminated_in_order(),
        _shown_at_the_end(cases, chart, as_json=as_json),
        Console(file=screen(sys.stderr)).status("", refresh_per_second=_REDRAWS_PER_SECOND) as status,
    ):
        if film:
            cases.append(bench_file(new_plan(), film, _shown_by(status, film.name)))
        else:
            for width, height in sizes:
                on_step = _shown_by(status, f"{width}x{height}")
                cases.append(bench_size(new_plan(), width, height, frame_rate, on_step))
    if target and not all(all(case.verdicts.values()) for case in cases):
        raise typer.Exit(MISSED_TARGET)


def _shown_by(status: Status, what: str) -> Callable[[str], None]:
    """For a measurement's steps, which say nothing of their own for a minute."""
    status.update(Text(f"{what}: preparing"))
    return lambda step: status.update(Text(f"{what}: {step}"))


@contextmanager
def _shown_at_the_end(cases: Sequence[BenchCase], chart: Path | None, *, as_json: bool) -> Generator[None]:
    """Shows what was measured, also where one case does not fit into memory or a signal ends it before all."""
    try:
        yield
    finally:
        if cases and as_json:
            typer.echo(json_line(_as_json(cases)))
        elif cases:
            _print(cases)
        if cases and chart:
            draw_chart(cases, chart)


def _format_of(film: Path, spec: PipelineSpec) -> VideoFormat:
    source = FileSource(film, threads=spec.decoder_threads)
    source.close()
    return source.format


def _usual_targets(video: VideoFormat | None) -> list[float]:
    own = [round(float(video.frame_rate), 3)] if video and video.frame_rate else []
    return sorted({*DEFAULT_TARGETS, *own})


def encoder_for(
    spec: PipelineSpec, sizes: Sequence[tuple[int, int]], bit_depth: int = 8, suffix: str = SYNTHETIC_SUFFIX
) -> EncoderChoice:
    """The one that `upscale` takes, and that holds pictures of all these sizes, upscaled."""
    return choose_encoder(
        spec.encoder,
        crf=spec.crf,
        options=spec.encoder_options,
        bit_depth=bit_depth,
        suffix=suffix,
        size=(max(width for width, _ in sizes) * spec.scale, max(height for _, height in sizes) * spec.scale),
    )


def parse_resolution(text: str) -> tuple[int, int]:
    """(width, height) of "720p" or "1280x720"."""
    if match := re.fullmatch(r"(\d+)x(\d+)", text):
        width, height = int(match[1]), int(match[2])
        if max(width, height) > _LONGEST_SIDE:
            raise SettingsError(f"{text} is larger than any film", f"A side has at most {_LONGEST_SIDE} pixels")
        if width and height:
            return width, height
    if match := re.fullmatch(r"(\d+)p", text):
        height = int(match[1])
        if height in WIDTHS:
            return WIDTHS[height], height
    known = ", ".join(f"{height}p" for height in WIDTHS)
    raise SettingsError(f"Unknown resolution {text}", f"Use {known}, or WIDTHxHEIGHT")


def _as_json(cases: Sequence[BenchCase]) -> dict[str, Any]:
    """Every case, and at the top level the figures of the last one: the largest of the default sizes."""
    return cases[-1].to_json() | {
        "output": None,
        "cases": [case.to_json() for case in cases],
    }


def _print(cases: Sequence[BenchCase]) -> None:
    console = Console(emoji=False)
    case = cases[0]
    console.print(
        f"{case.model}, {case.precision} by {case.runtime} on {case.device}; encoder {case.encoder}; "
        f"{case.warm_up_frames} warm-up frames are not counted",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    table = Table()
    table.add_column("")
    for case in cases:
        table.add_column(f"{_size(case.source)} -> {_size(case.target)}", justify="right")
    for stage in cases[0].stages_alone_ms:
        table.add_row(f"{stage} alone", *(f"{case.stages_alone_ms[stage]:.1f} ms" for case in cases))
    table.add_section()
    table.add_row("one after the other", *(f"{case.serial_fps:.1f} fps" for case in cases))
    table.add_row("all together", *(f"{case.fps:.1f} fps" for case in cases))
    table.add_section()
    for name in cases[0].verdicts:
        table.add_row(f"{name} fps", *(_verdict(case, name) for case in cases))
    console.print(table)
    for case in cases:
        console.print(_sentence(case), highlight=False, soft_wrap=True, markup=False)


def _size(video: str) -> str:
    return video.split()[0]


def _verdict(case: BenchCase, name: str) -> str:
    word = "[green]holds[/]" if case.verdicts[name] else "[red]no[/]"
    return f"{word} ({case.headroom[name]:.2f}x)"


def _sentence(case: BenchCase) -> str:
    latency = case.stages_together["frame"]
    parts = [
        f"{_size(case.source)} -> {_size(case.target)}: limited by {case.bottleneck}",
        f"a frame takes {latency.p50_ms:.0f} / {latency.p95_ms:.0f} / {latency.p99_ms:.0f} ms (p50/p95/p99) end to end "
        f"with {case.depth} in flight",
        f"peak memory {case.peak_rss_mb:.0f} MiB",
    ]
    if case.tiles > 1:
        parts.append(f"{case.tiles} tiles a frame")
    if case.gpu:
        parts.append(str(case.gpu))
    return "; ".join(parts)
