"""`lipt-stream models`: the weights that ship with the package."""

from __future__ import annotations

import dataclasses
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.model import catalog


def models(as_json: options.Json = False) -> None:
    """List the weights that ship with the package, with their task, scale and PSNR."""
    entries = catalog.entries()
    if as_json:
        typer.echo(json_line([_as_json(entry) for entry in entries]))
        return
    datasets = sorted({name.partition("_")[0] for entry in entries for name in entry.psnr})
    table = Table(title="Weights (Y-PSNR in dB)")
    for column in ("name", "task", "made for", "scale", *datasets):
        is_name, justify = column == "name", "right" if column in (*datasets, "scale") else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=is_name)
    for entry in entries:
        figures = (_figures(entry, name) for name in datasets)
        table.add_row(entry.name, entry.task, entry.content, f"x{entry.scale}", *figures)
    Console().print(table)


def _figures(entry: catalog.Entry, dataset: str) -> str:
    """ "37.08", or "32.44, crf28" where the images were spoilt so; empty where they were not measured."""
    found = ((name.partition("_"), value) for name, value in entry.psnr.items())
    return ", ".join(f"{value:.2f}" + (f", {how}" if how else "") for (name, _, how), value in found if name == dataset)


def _as_json(entry: catalog.Entry) -> dict[str, Any]:
    fields = {item.name: getattr(entry, item.name) for item in dataclasses.fields(entry)}
    return fields | {"psnr": dict(entry.psnr), "ssim": dict(entry.ssim)}
