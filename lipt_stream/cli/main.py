"""The command line: its commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Final, cast

import typer
from typer.core import TyperGroup

from lipt_stream.cli.screen import defect, say_error, with_notes
from lipt_stream.cli.version import version as own_version
from lipt_stream.errors import LiptError
from lipt_stream.media.redact import redact

COMMANDS: Final = {
    "upscale": "upscale",
    "live": "live",
    "bench": "bench",
    "eval": "evaluate_weights",
    "models": "models",
    "doctor": "doctor",
    "verify": "verify",
    "train": "train_network",
}
"""The function of each command, in the module of the command's name."""

# Typer's own, or Click's where Typer is older: the base of all that is said of a wrong command line.
_USAGE_ERROR: Final = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])


class _Commands(TyperGroup):
    """Typer's words about a wrong command line quote it, and an address in the wrong place holds its password."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with _hiding_secrets():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _hiding_secrets():
                return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:  # of which Typer would say nothing
            raise _stopped(interrupt) from None


def _stopped(interrupt: KeyboardInterrupt) -> SystemExit:
    say_error(with_notes("stopped", interrupt))
    return SystemExit(130)


@contextmanager
def _hiding_secrets() -> Generator[None]:
    try:
        yield
    except _USAGE_ERROR as error:
        error.message = redact(error.message)
        raise


def build_app(words: Sequence[str]) -> typer.Typer:
    """The command line, for a call with these arguments. The command that is asked for is imported, and no other: a
    film waits for no web server. All are, where help or a word that is no command needs their names."""
    app = typer.Typer(
        name="lipt-stream",
        help="Upscale video with LIPT, and say whether it keeps up.",
        no_args_is_help=True,
        add_completion=False,
        cls=_Commands,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    asked = next((word for word in words if not word.startswith("-")), "")
    for name in [asked] if asked in COMMANDS else COMMANDS:
        with _interrupted_at_once():
            command = getattr(importlib.import_module(f"lipt_stream.cli.{name}"), COMMANDS[name])
        app.command(name, no_args_is_help=name == "upscale")(command)
    return app


@contextmanager
def _interrupted_at_once() -> Generator[None]:
    """While torch is loaded Ctrl-C ends the process, as it does any other program's: raised in the middle of its own
    loading, KeyboardInterrupt can make it abort."""
    is_asked = threading.current_thread() is threading.main_thread()
    if not is_asked or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(own_version())
        raise typer.Exit


def _options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help="Show the traceback of an error; before the command: lipt-stream --debug upscale ..."
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version
    if debug:
        os.environ["LIPT_DEBUG"] = "1"


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a bench target missed, 4 a live rate missed,
    130 and 143 stopped by SIGINT and SIGTERM."""
    reconfigure: Callable[..., None] | None = getattr(sys.stdout, "reconfigure", None)
    if reconfigure:  # a name that the terminal cannot show is no reason to fail
        reconfigure(errors="backslashreplace")
    try:
        build_app(sys.argv[1:])()
    except LiptError as error:
        if os.environ.get("LIPT_DEBUG"):
            raise
        say_error(f"error: {error}")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt as interrupt:
        raise _stopped(interrupt) from None
    except Exception as error:
        if os.environ.get("LIPT_DEBUG"):
            raise
        say_error(f"error: {_full_output(error) or defect(error)}")
        raise SystemExit(1) from None


def _full_output(error: Exception) -> str:
    """What to say where a result that was printed had no room: every file of ours has its own words for that."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename:
        return ""
    return f"Cannot print the result: {error.strerror}. Make room where the output of this command goes"
