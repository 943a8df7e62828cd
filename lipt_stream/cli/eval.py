"""`lipt-stream eval`: what weights score on a folder of images, by the field's protocol."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.screen import say_error
from lipt_stream.engine.upscaler import Upscaler, find_weights
from lipt_stream.errors import SettingsError, one_line
from lipt_stream.model import catalog
from lipt_stream.model.weights import load_weights
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.stream.upscale import load_upscaler
from lipt_stream.train.evaluate import (
    Scores,
    Uint8Image,
    baselines,
    evaluate,
    find_images,
    list_images,
    quiet_pillow,
    require_comparable,
    require_folder,
)

_UNBROKEN: Final = 10_000
"""Columns of a screen that is none: names in files and pipes are whole."""


def evaluate_weights(
    data: Annotated[Path, typer.Option(help="A folder of full-size images; with --all also a folder of such folders.")],
    scale: Annotated[int | None, typer.Option(help="Enlargement: 2, 3 or 4.", show_default="2")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A name or a weights file; may be repeated.", show_default="all that ship for this scale"),
    ] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    per_image: Annotated[bool, typer.Option("--per-image", help="Also each image.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All weights that ship, at every scale, on every set: a Markdown table.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """PSNR and SSIM on Y beside bicubic and Lanczos: MATLAB's bicubic down, rounded to 8 bits, borders cut."""
    settings = {"scale": scale, "device": device, "precision": precision, "runtime": runtime, "threads": threads}
    spec = options.build_spec(None, settings)
    quiet_pillow()
    if everything:
        if scale or model or per_image:
            raise SettingsError("--all goes with neither --scale, --model nor --per-image", "Leave them out")
        rows = score_all(data, spec)
        typer.echo(json_line(rows) if as_json else markdown_table(rows))
        return
    if spec.scale == 1:
        raise SettingsError("Scale 1 has no low resolution to start from", "Use --scale 2, 3 or 4")
    names = model or [entry.name for entry in catalog.entries() if entry.scale == spec.scale and entry.task == "sr"]
    scores = baselines(data, spec.scale)
    for name in names:
        upscaler = _load(name, spec)
        scores[upscaler.info.name] = evaluate(as_function(upscaler), data, spec.scale)
    tell_exact(scores.values())
    if as_json:
        typer.echo(json_line(_as_json(data, spec, scores)))
    else:
        _print_table(data, spec, scores, per_image)


def _load(name: str, spec: PipelineSpec) -> Upscaler:
    """SettingsError where its scale is another: that of the weights for artefacts and noise is no enlargement."""
    info = load_weights(find_weights(name, spec.scale))[1]
    if info.scale == 1:
        raise SettingsError(
            f"{name} is for --task {info.task}, and eval measures enlargement", "Give weights of x2 to x4"
        )
    return load_upscaler(spec.but({"model": name}))


def score_all(data: Path, spec: PipelineSpec) -> list[dict[str, Any]]:
    """One object for each weights file and interpolation: `scale`, `name`, `parameters`, `psnr_y`, `ssim_y` by set."""
    sets = find_sets(data)
    shipped = [entry for entry in catalog.entries() if entry.task == "sr"]
    for path in (path for folder in sets.values() for path in list_images(folder)):
        require_comparable(path, max(entry.scale for entry in shipped))  # now, and not after half of the work
    rows: list[dict[str, Any]] = []
    every: list[Scores] = []
    for scale in sorted({entry.scale for entry in shipped}):
        plain = {name: baselines(folder, scale) for name, folder in sets.items()}
        every += [scores for methods in plain.values() for scores in methods.values()]
        for method in ("bicubic", "lanczos"):
            rows.append(_row(scale, method, None, {name: scores[method] for name, scores in plain.items()}))
        for entry in (entry for entry in shipped if entry.scale == scale):
            upscaler = load_upscaler(spec.but({"model": entry.name, "scale": scale}))
            scores = {name: evaluate(as_function(upscaler), folder, scale) for name, folder in sets.items()}
            every += scores.values()
            rows.append(_row(scale, entry.name, upscaler.parameters, scores))
    tell_exact(every)
    return rows


def find_sets(data: Path) -> dict[str, Path]:
    """By name, the folders in `data` that hold images, Set5 before Set14, and `data` itself where it does. InputError
    where none does; one beside others that holds none is named."""
    require_folder(data, "Give a folder of full-size images, or a folder of such folders")
    folders = [path for path in data.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders.sort(key=lambda path: (len(path.name), path.name))
    sets = {path.name: path for path in folders if list_images(path)}
    for folder in folders:
        if folder.name not in sets:
            say_error(one_line(f"left out: {folder} holds no image"))
    if not sets:
        find_images(data)
        return {data.resolve().name: data}
    return sets | ({f"{data.resolve().name} itself": data} if list_images(data) else {})


def tell_exact(scores: Iterable[Scores]) -> None:
    """Name the images of which something came out exactly: the mean is infinite with them, whatever the others have."""
    names = sorted({image.name for score in scores for image in score.images if math.isinf(image.psnr_y)})
    if names:
        told = f"{', '.join(names)}: came out exactly, so that the mean is infinite. Leave out what has one colour only"
        say_error(one_line(told))


def _row(scale: int, name: str, parameters: int | None, scores: dict[str, Scores]) -> dict[str, Any]:
    return {
        "scale": scale,
        "name": name,
        "parameters": parameters,
        "psnr_y": {folder: score.psnr_y for folder, score in scores.items()},
        "ssim_y": {folder: score.ssim_y for folder, score in scores.items()},
    }


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """What README shows: Y-PSNR in dB / SSIM."""
    sets = list(rows[0]["psnr_y"])
    named = [one_line(name).replace("|", "\\|") for name in sets]
    lines = ["| scale | weights | parameters | " + " | ".join(named) + " |", "| --- " * (3 + len(sets)) + "|"]
    for row in rows:
        size = "" if row["parameters"] is None else f"{row['parameters']:,}"
        figures = " | ".join(f"{row['psnr_y'][name]:.2f} / {row['ssim_y'][name]:.4f}" for name in sets)
        lines.append(f"| x{row['scale']} | {row['name']} | {size} | {figures} |")
    return "\n".join(lines)


def as_function(upscaler: Upscaler) -> Any:
    """An Upscaler as `evaluate` wants it: (H, W, 3) uint8 -> (scale*H, scale*W, 3) uint8."""

    def upscale(image: Uint8Image) -> Uint8Image:
        result = upscaler(torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))[None])
        return result[0].permute(1, 2, 0).cpu().numpy()

    return upscale


def _as_json(data: Path, spec: PipelineSpec, scores: dict[str, Scores]) -> dict[str, Any]:
    result: dict[str, Any] = {"data": str(data), "scale": spec.scale}
    for name, score in scores.items():
        images = {image.name: {"psnr_y": image.psnr_y, "ssim_y": image.ssim_y} for image in score.images}
        result[name] = {"psnr_y": score.psnr_y, "ssim_y": score.ssim_y, "images": images}
    return result


def _print_table(data: Path, spec: PipelineSpec, scores: dict[str, Scores], per_image: bool) -> None:
    console = Console(emoji=False, width=None if sys.stdout.isatty() else _UNBROKEN)
    told = f"{data.resolve().name}, x{spec.scale}: Y of BT.601, {spec.scale} pixels of border cut"
    console.print(told, highlight=False, markup=False)
    table = Table()
    table.add_column("")
    if per_image:
        for name in scores:
            table.add_column(_shown(name), justify="right", overflow="fold")
        for row in zip(*(score.images for score in scores.values()), strict=True):
            table.add_row(_shown(row[0].name), *(f"{image.psnr_y:.2f} / {image.ssim_y:.4f}" for image in row))
        table.add_section()
        table.add_row("mean", *(f"{score.psnr_y:.2f} / {score.ssim_y:.4f}" for score in scores.values()))
    else:
        table.add_column("PSNR dB", justify="right")
        table.add_column("SSIM", justify="right")
        for name, score in scores.items():
            table.add_row(_shown(name), f"{score.psnr_y:.2f}", f"{score.ssim_y:.4f}")
    console.print(table)


def _shown(name: str) -> str:
    """A file's name as it is: neither markup nor control codes."""
    return escape(one_line(name))
