"""`lipt-stream` in processes of their own, each forked from one that has loaded it: loading takes seconds."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from lipt_stream.cli.main import build_app, main
from lipt_stream.live import broadcast, works

PATIENCE_SECONDS = 240
build_app([])  # imports every command
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def _nothing() -> None: ...


def let_sessions_finish() -> None:
    """For `before`: sinks whose processes a busy machine has only just begun are waited for at the end of a session."""
    works.JOURNEY_SECONDS = broadcast.CLOSE_SECONDS = 60  # type: ignore[misc]


def run_program(
    *arguments: str | Path, cwd: Path | None = None, before: Callable[[], None] = _nothing
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with both outputs captured, and with warnings as errors. `before`, a module's function, is
    called in the process first."""
    return run_apart(_run, [str(argument) for argument in arguments], cwd, before)


def run_apart(function: Callable[..., None], *arguments: object) -> subprocess.CompletedProcess[str]:
    """A module's function in a process of its own, with both outputs captured. A crash is told in its stderr."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        process = _FORKS.Process(target=_captured, args=(out, errors, function, arguments))
        process.start()
        process.join(PATIENCE_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"{arguments}: {errors.read_text()}")
        return subprocess.CompletedProcess(
            [str(a) for a in arguments], process.exitcode, out.read_text(), errors.read_text()
        )


def _captured(out: Path, errors: Path, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    for place, number in ((out, 1), (errors, 2)):
        file = os.open(place, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    _open_streams()
    faulthandler.enable()
    function(*arguments)


def _open_streams() -> None:
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115


def _run(words: list[str], cwd: Path | None, before: Callable[[], None]) -> None:
    before()
    _open_streams()  # it may have put others in place
    warnings.simplefilter("error")
    if cwd is not None:
        os.chdir(cwd)
    sys.argv = ["lipt-stream", *words]
    main()
