"""`lipt-stream verify`: is the result the same film as its source?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.verify.audit import Verification
from lipt_stream.verify.audit import verify as audit


def verify(
    source: Annotated[Path, typer.Argument(help="The film that was upscaled.")],
    result: Annotated[Path, typer.Argument(help="What came out.")],
    scale: Annotated[
        int | None, typer.Option(min=1, help="Enlargement to hold the result to.", show_default="inferred")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Audit a result against its source: frames, times, pictures, colour, sound, subtitles, chapters, tags.

    Both files are read afresh. A result that was cut (--start, --end) lacks what was cut off, and fails. Exit code 0
    only when all holds.
    """
    verification = audit(source, result, scale=scale)
    if as_json:
        typer.echo(json_line(verification.to_json()))
    else:
        _print(verification)
    raise typer.Exit(0 if verification.ok else 1)


def _print(verification: Verification) -> None:
    table = Table()
    for column in ("check", "source", "result", "verdict"):
        table.add_column(column)
    for check in verification.checks:
        verdict = "[green]ok[/]" if check.ok else "[red]failed[/]"
        table.add_row(escape(check.name), escape(check.source), escape(check.result), verdict)
    console = Console(emoji=False)
    console.print(table)
    for check in verification.failed:
        console.print(f"{check.name}: {check.detail}", style="red", markup=False, highlight=False, soft_wrap=True)
    failed, total = len(verification.failed), len(verification.checks)
    summary = f"{failed} of {total} checks failed" if failed else f"all {total} checks hold"
    console.print(summary, markup=False, highlight=False)
