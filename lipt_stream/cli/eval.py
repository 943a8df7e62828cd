"""`lipt-stream eval`: what weights score on a folder of images, by the field's protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from lipt_stream.cli import options
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import SettingsError
from lipt_stream.model import catalog
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.stream.upscale import load_upscaler
from lipt_stream.train.evaluate import Scores, Uint8Image, baselines, evaluate


def evaluate_weights(
    data: Annotated[Path, typer.Option(help="A folder of full-size images.")],
    scale: options.Scale = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A name or a weights file; may be repeated.", show_default="all that ship for this scale"),
    ] = None,
    device: options.Device = None,
    precision: options.Precision = None,
    runtime: options.Runtime = None,
    threads: options.Threads = None,
    per_image: Annotated[bool, typer.Option("--per-image", help="Also each image.")] = False,
    as_json: options.Json = False,
) -> None:
    """PSNR and SSIM on Y beside bicubic and Lanczos: MATLAB's bicubic down, rounded to 8 bits, borders cut."""
    settings = {"scale": scale, "device": device, "precision": precision, "runtime": runtime, "threads": threads}
    spec = options.build_spec(None, settings)
    if spec.scale == 1:
        raise SettingsError("Scale 1 has no low resolution to start from", "Use --scale 2, 3 or 4")
    names = model or [entry.name for entry in catalog.entries() if entry.scale == spec.scale and entry.task == "sr"]
    scores = baselines(data, spec.scale)
    for name in names:
        upscaler = load_upscaler(spec.but({"model": name}))
        scores[upscaler.info.name] = evaluate(as_function(upscaler), data, spec.scale)
    if as_json:
        typer.echo(json.dumps(_as_json(data, spec, scores)))
    else:
        _print_table(data, spec, scores, per_image)


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
    console = Console()
    console.print(f"{data.name}, x{spec.scale}: Y of BT.601, {spec.scale} pixels of border cut", highlight=False)
    table = Table()
    table.add_column("")
    if per_image:
        for name in scores:
            table.add_column(name, justify="right")
        for row in zip(*(score.images for score in scores.values()), strict=True):
            table.add_row(row[0].name, *(f"{image.psnr_y:.2f} / {image.ssim_y:.4f}" for image in row))
        table.add_section()
        table.add_row("mean", *(f"{score.psnr_y:.2f} / {score.ssim_y:.4f}" for score in scores.values()))
    else:
        table.add_column("PSNR dB", justify="right")
        table.add_column("SSIM", justify="right")
        for name, score in scores.items():
            table.add_row(name, f"{score.psnr_y:.2f}", f"{score.ssim_y:.4f}")
    console.print(table)
