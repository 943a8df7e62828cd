"""Several runs of `lipt-stream train`, as options in a text file: what scripts/train_on_gpu is given."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any, Final

import typer

from lipt_stream.cli.train import asked_spec, train_network
from lipt_stream.engine.upscaler import pick_device
from lipt_stream.errors import InputError
from lipt_stream.train.run import read_origins
from lipt_stream.train.spec import TrainSpec

_OWN_OPTIONS: Final = ("--data", "--valid", "--pairs", "--out", "--resume", "--stop-after")
"""Of `lipt-stream train`: what the script gives it."""
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]  # Typer's own, or Click's where Typer is older


def read_plan(path: Path) -> dict[str, list[str]]:
    """The options of each run by its name, in order."""
    try:
        lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise InputError(f"Cannot read the plan {path}: {error.strerror}", "Check --plan") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The plan {path} is no text in UTF-8", "Save it as such") from error
    runs: dict[str, list[str]] = {}
    for line in filter(None, lines):
        name, colon, options = line.partition(":")
        if not colon or name in runs or Path(name).name != name or not name.strip("."):
            raise InputError(f"{path} has the line {line!r}", "Write NAME: OPTIONS, each name once, without /")
        try:
            runs[name] = shlex.split(options)
        except ValueError as error:
            raise InputError(f"{path} has the line {line!r}: {error}", "Close the quotation") from error
        spec_of(runs[name])  # what is wrong with the last one is said before the first begins
    if not runs:
        raise InputError(f"The plan {path} has no run", "Write NAME: OPTIONS on a line")
    return runs


def spec_of(options: list[str]) -> TrainSpec:
    """What run these options of `lipt-stream train` ask for. InputError or SettingsError where they ask for none."""
    given = _given_by(options)
    return asked_spec(**{name: given[name] for name in inspect.signature(asked_spec).parameters})


def _given_by(options: list[str]) -> dict[str, Any]:
    """Each option of `lipt-stream train` by its name. InputError where there is none of that name or value."""
    for option in options:
        if option.partition("=")[0] in _OWN_OPTIONS:
            raise InputError(f"{option} is for train_on_gpu to give", "Leave it out of the run's options")
    app = typer.Typer()
    app.command()(train_network)
    try:
        context = typer.main.get_command(app).make_context("train", [*options, "--data", "-", "--out", "-"])
    except _USAGE_ERROR as error:
        said = f"{shlex.join(options)} is no run: {error.format_message()}"
        raise InputError(said, "See `lipt-stream train --help`") from error
    return context.params


def require_files(options: list[str], work: Path, *, is_begun: bool) -> None:
    """LiptError where a run names weights or a device that are not there. One `is_begun` needs no --init any more, and
    what lies in `work` may be what a run of the same plan is to write."""
    given = _given_by(options)
    named = (Path(given[name]) if given[name] else None for name in ("init", "distill"))
    init, teacher = (path if path and (path.exists() or not _lies_in(work, path)) else None for path in named)
    read_origins(spec_of(options), init, teacher, resumes=is_begun)
    pick_device(given["device"])


def _lies_in(folder: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
