"""`lipt-stream upscale`: files in, larger files out."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.progress import display, print_summary
from lipt_stream.cli.screen import defect, say_error, screen
from lipt_stream.cli.signals import Signals, stopping_on_signals
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import InputError, LiptError, OutputError, SettingsError, one_line
from lipt_stream.media.av_errors import writing
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.encoders import ENCODERS
from lipt_stream.media.file_source import FileSource
from lipt_stream.stream.jobs import DEFAULT_PATTERN, VIDEO_EXTENSIONS, Existing, Job, Plan, make_folder, plan_jobs
from lipt_stream.stream.report import Report
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.stream.upscale import load_upscaler, upscale_file

_NAMED: Final = 3  # of the files that are left out


def upscale(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="IN [OUT]",
            help="A file, a folder or a pattern, and where the result goes: a file, a folder, or a pattern such as "
            "'{stem}_{scale}x{ext}' (the default, beside the input). Three or more paths are all inputs.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="OUT by name; then every path is an input.")
    ] = None,
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
        str | None, typer.Option(help="libx264, libx265, libsvtav1, h264_nvenc, ...", show_default="auto")
    ] = None,
    encoder_option: Annotated[
        list[str] | None,
        typer.Option("-e", metavar="KEY=VALUE", help="An option of the encoder itself; may be repeated."),
    ] = None,
    crf: Annotated[
        int | None,
        typer.Option(
            help="Constant quality on the encoder's own scale; lower is better.",
            show_default=", ".join(
                f"{info.default_crf} for {name}" for name, info in ENCODERS.items() if info.default_crf
            ),
        ),
    ] = None,
    deinterlace: Annotated[
        str | None,
        typer.Option(help="auto, off or on: what is done to interlaced video.", show_default="auto: where flagged"),
    ] = None,
    unfit: Annotated[
        str | None,
        typer.Option(
            help="What becomes of sound and subtitles that the container cannot hold: refuse the film, convert (sound "
            "is decoded to PCM), or drop.",
            show_default="refuse",
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="Begin at this time, counted from the first picture: seconds, M:SS or H:MM:SS.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="End before this time.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    skip_existing: Annotated[
        bool,
        typer.Option("--skip-existing", help="Leave out films whose result exists, as after a run that was stopped."),
    ] = False,
    as_json: options.Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
) -> None:
    """Upscale video files. Sound, subtitles and chapters are copied; every frame keeps its time."""
    changes = {
        "scale": scale,
        "model": model,
        "device": device,
        "precision": precision,
        "runtime": runtime,
        "threads": threads,
        "depth": depth,
        "tile": tile,
        "deinterlace": deinterlace,
        "unfit": unfit,
        "encoder": encoder,
        "crf": crf,
    }
    spec = options.build_spec(preset, changes, encoder_option)
    start_seconds, end_seconds = options.parse_time("--start", start), options.parse_time("--end", end)
    if start_seconds is not None and end_seconds is not None and end_seconds <= start_seconds:
        raise SettingsError(f"--end {end} is not after --start {start}", "Nothing would be left")
    inputs, target = _inputs_and_output(paths, output, may_exist=overwrite or skip_existing)
    if overwrite and skip_existing:
        raise SettingsError("--overwrite and --skip-existing contradict each other", "Give one of them")
    existing: Existing = "overwrite" if overwrite else "skip" if skip_existing else "refuse"
    plan = plan_jobs(inputs, target, spec.scale, existing=existing, encoder=spec.encoder)
    if not plan.is_of_one_film and spec.encoder != "auto":  # else each film would say what is wrong with it
        choose_encoder(spec.encoder, crf=spec.crf, options=spec.encoder_options)
    make_folder(target)
    console = Console(file=screen(sys.stderr if as_json else sys.stdout), emoji=False)
    if not quiet:
        for line in _told_left_out(plan):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    with stopping_on_signals() as signals:
        batch = _Batch(spec, start_seconds, end_seconds, overwrite, console, quiet, signals)
        batch.run(plan)
    if not quiet and not as_json:
        batch.summarise()
    if as_json:
        typer.echo(json_line(batch.to_json(plan)))
    raise typer.Exit(batch.exit_code)


def _told_left_out(plan: Plan) -> Iterator[str]:
    """A line for each reason, with the first few names."""
    for reason, group in groupby(sorted(plan.left_out, key=plan.left_out.__getitem__), plan.left_out.__getitem__):
        names = [path.name for path in group]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield one_line(f"left out: {', '.join(names[:_NAMED])}{more} ({reason})")


def _inputs_and_output(paths: list[str], output: str | None, *, may_exist: bool) -> tuple[list[str], str | None]:
    if output == "":
        raise SettingsError("--output has an empty name", "Check what was to give it")
    if output is None and len(paths) > 2:
        _refuse_folder_at_the_end(paths)
    if output is not None or len(paths) != 2:
        return paths, output
    if "*" in paths[1]:
        raise SettingsError(
            f"{paths[1]} is where the result would go, and holds a *", "If it means films add -o FOLDER/ behind them"
        )
    is_another = _is_another_film(*paths)
    if is_another and not _is_enlarged(*paths):
        raise OutputError(
            f"{paths[1]} exists already",
            f"To upscale both films add -o FOLDER/ or -o '{DEFAULT_PATTERN}'; to replace the second, put -o before it "
            "and add --overwrite",
        )
    if is_another and not may_exist:  # by an earlier run, as it seems
        raise OutputError(f"{paths[1]} exists already", "Add --overwrite to replace it, or give another name")
    return paths[:1], paths[1]


def _refuse_folder_at_the_end(paths: list[str]) -> None:
    """As `cp` takes it: it would be an input, and what earlier runs left in it be enlarged again."""
    *films, last = paths
    if (last.endswith(("/", "\\")) or Path(last).is_dir()) and not any(Path(film).is_dir() for film in films):
        raise SettingsError(
            f"Of three or more paths each is an input, and {last} is a folder",
            f"For results in it write -o {last}; for its films name it first",
        )


def _is_another_film(film: str, second: str) -> bool:
    """A shell makes two films of `*.mp4`: the second is not meant to be replaced, nor the first to be left out."""
    path = Path(second)
    with writing(path):
        is_film = path.suffix.lower() in VIDEO_EXTENSIONS and path.is_file()
    return is_film and os.path.realpath(film) != os.path.realpath(path)


def _is_enlarged(film: str, second: str) -> bool:
    """Whether the second may be the result of the first, by an earlier run. What cannot be read is none."""
    try:
        small, large = _size(film), _size(second)
    except InputError:
        return False
    return any(large == (small[0] * scale, small[1] * scale) for scale in (2, 3, 4))


def _size(film: str) -> tuple[int, int]:
    source = FileSource(Path(film), threads=1)
    source.close()
    return source.format.width, source.format.height


class _Batch:
    """Several jobs with one network. A file that fails does not stop the next, whatever it fails by."""

    def __init__(
        self,
        spec: PipelineSpec,
        start_seconds: float | None,
        end_seconds: float | None,
        overwrite: bool,
        console: Console,
        quiet: bool,
        signals: Signals,
    ) -> None:
        self._spec = spec
        self._start_seconds = start_seconds
        self._end_seconds = end_seconds
        self._overwrite = overwrite
        self._console = console
        self._quiet = quiet
        self._signals = signals
        self._upscaler: Upscaler | None = None
        self.reports: list[Report] = []
        self.failures: list[tuple[Job, str]] = []
        self._left: list[Job] = []

    def run(self, plan: Plan) -> None:
        self._left = list(plan.jobs)
        if _is_single(plan):  # its errors are the command's
            self._run_one(self._left.pop())
            return
        if plan.jobs:
            self._upscaler = load_upscaler(self._spec)  # once for all
        for job in plan.jobs:
            if self._signals.received:
                break
            self._left.remove(job)
            try:
                self._run_one(job)
            except LiptError as error:
                self._note_failure(job, error, str(error))
            except Exception as error:  # noqa: BLE001  a defect that one film shows is not to cost the night's others
                self._note_failure(job, error, f"{job.input}: {defect(error)}")

    def _note_failure(self, job: Job, error: Exception, line: str) -> None:
        if os.environ.get("LIPT_DEBUG"):
            say_error("".join(traceback.format_exception(error)).rstrip())
        self.failures.append((job, line))
        say_error(f"error: {line}")

    def _run_one(self, job: Job) -> None:
        with display(job.input.name, self._console, quiet=self._quiet, device=self._spec.device) as show:
            report = upscale_file(
                job.input,
                job.output,
                spec=self._spec,
                upscaler=self._upscaler,
                start_seconds=self._start_seconds,
                end_seconds=self._end_seconds,
                overwrite=self._overwrite,
                progress=show,
                stop=self._signals.stop,
            )
        self.reports.append(report)
        if _is_faulty(report):
            say_error(f"error: {job.output} {_fault(report)}")

    def summarise(self) -> None:
        for report in self.reports:
            print_summary(report, self._console)
        if self.failures:
            names = ", ".join(job.input.name for job, _ in self.failures)
            say_error(f"{len(self.failures)} of {len(self.failures) + len(self.reports)} failed: {names}")

    def to_json(self, plan: Plan) -> dict[str, object]:
        if _is_single(plan):
            return self.reports[0].to_json()
        return {
            "files": [report.to_json() for report in self.reports],
            "failed": [{"input": str(job.input), "error": line} for job, line in self.failures],
            "not_begun": [str(job.input) for job in self._left],
            "left_out": [{"input": str(path), "reason": reason} for path, reason in plan.left_out.items()],
        }

    @property
    def exit_code(self) -> int:
        if self._signals.received:
            return self._signals.exit_code
        return 0 if not self.failures and all(report.ok for report in self.reports) else 1


def _is_single(plan: Plan) -> bool:
    return plan.is_of_one_film and len(plan.jobs) == 1


def _is_faulty(report: Report) -> bool:
    return report.complete and not report.ok


def _fault(report: Report) -> str:
    """What is wrong with a film that was upscaled to its end."""
    failed = "; ".join(f"{check.name} ({check.detail})" for check in report.checks if not check.ok)
    return f"does not hold what was written to it: {failed}. It is kept as {report.output}: try again, or report it"
