"""`lipt-stream doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import torch
import typer
from rich.console import Console

from lipt_stream.cli import options
from lipt_stream.cli.json_line import json_line
from lipt_stream.cli.version import version as own_version
from lipt_stream.engine.color_cuda import compiled_kernels
from lipt_stream.engine.runtimes import openvino_version
from lipt_stream.errors import DeviceError, WeightsError
from lipt_stream.media.encoders import ENCODERS, probe_encoder
from lipt_stream.media.probe import missing_decoders
from lipt_stream.model import catalog
from lipt_stream.observe.gpu import all_gpus, driver_version


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. "absent" is fine to be without; "broken" is not."""

    name: str
    state: Literal["ok", "absent", "broken"]
    detail: str
    advice: str = ""


def doctor(as_json: options.Json = False) -> None:
    """Check Python, torch, GPU, decoders, encoders and weights. Exit code 1 where something is broken."""
    findings: list[Finding] = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        typer.echo(json_line([asdict(finding) for finding in findings]))
    raise typer.Exit(1 if any(finding.state == "broken" for finding in findings) else 0)


def examine() -> Iterator[Finding]:
    """Look at one thing after the other."""
    yield _python()
    yield Finding("lipt-stream", "ok", own_version())
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} CPU threads")
    yield _runtime()
    yield from _gpu()
    yield from _codecs()
    yield from _weights()


def _python() -> Finding:
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", "ok", platform.python_version())
    return Finding("python", "broken", platform.python_version(), "Use Python 3.11 to 3.13")


def _runtime() -> Finding:
    if importlib.util.find_spec("openvino") is None:
        advice = "Faster on CPUs with it; in the checkout: .venv/bin/pip install -e '.[openvino]'"
        return Finding("openvino", "absent", "not installed: CPUs are served by torch", advice)
    try:
        return Finding("openvino", "ok", openvino_version())
    except DeviceError as error:
        return Finding("openvino", "broken", error.message, error.hint)


def _gpu() -> Iterator[Finding]:
    gpus = all_gpus()
    if not gpus:
        detail = "no NVIDIA GPU, or no driver for it: upscaling runs on the CPU"
        yield Finding(
            "gpu", "absent", detail, "With a card built in: install NVIDIA's driver, until `nvidia-smi` lists it"
        )
        return
    for gpu in gpus:
        memory = f", {gpu.memory_total_mb / 1024:.1f} GiB" if gpu.memory_total_mb else ""
        yield Finding("gpu", "ok", gpu.name + memory)
    yield Finding("nvidia driver", "ok", driver_version() or "does not tell its version")
    if not torch.cuda.is_available():
        yield Finding("torch cuda", "broken", "this torch cannot use the GPU", _advice_on_cuda())
        return
    for index in range(torch.cuda.device_count()):
        yield _torch_on(index)
    if importlib.util.find_spec("cupy") is None:
        extra = "cuda12" if (torch.version.cuda or "").startswith("12") else "cuda"
        advice = f"In the checkout: .venv/bin/pip install -e '.[{extra}]'"
        yield Finding(
            "cupy", "broken", "not installed: colour conversion falls back to slower torch operations", advice
        )
        return
    for index in range(torch.cuda.device_count()):
        yield _cupy_on(index)


def _advice_on_cuda() -> str:
    if torch.version.cuda is None:
        return "Install a CUDA build of torch: see https://pytorch.org/get-started"
    return (
        f"This torch is built for CUDA {torch.version.cuda}: update NVIDIA's driver, or install a build for an older "
        "one (https://pytorch.org/get-started). Where CUDA_VISIBLE_DEVICES is set, it hides the others"
    )


def _torch_on(index: int) -> Finding:
    """By computing something: builds of torch leave out cards that are older than their CUDA."""
    name = f"torch on cuda:{index}"
    try:
        torch.zeros(8, device=f"cuda:{index}").add_(1).cpu()
    except RuntimeError as error:
        advice = "Free its memory if it is full; else install a build of torch for this card: https://pytorch.org/get-started"
        return Finding(name, "broken", str(error).splitlines()[0], advice)
    return Finding(name, "ok", f"computes, by CUDA {torch.version.cuda}")


def _cupy_on(index: int) -> Finding:
    try:
        compiled_kernels(index)
    except DeviceError as error:
        return Finding(f"cupy on cuda:{index}", "broken", error.message, error.hint)
    return Finding(f"cupy on cuda:{index}", "ok", "compiles the colour kernels")


def _codecs() -> Iterator[Finding]:
    if missing := missing_decoders():
        advice = "Reinstall av from its wheel: pip install --force-reinstall --only-binary av av"
        yield Finding("decoders", "broken", "missing: " + ", ".join(missing), advice)
    else:
        yield Finding("decoders", "ok", "every common one")
    for name in ENCODERS:
        trouble = probe_encoder(name)
        if trouble is None:
            yield Finding(f"encoder {name}", "ok", "encodes")
        elif "nvenc" in name:
            yield Finding(f"encoder {name}", "absent", trouble, "Needs a GeForce, RTX or L series card and its driver")
        else:
            yield Finding(f"encoder {name}", "broken", trouble, "Reinstall av from its wheel")


def _weights() -> Iterator[Finding]:
    try:
        entries = catalog.entries()
    except WeightsError as error:
        yield Finding("weights", "broken", error.message, error.hint)
        return
    for entry in entries:
        try:
            catalog.verify(entry)
        except WeightsError as error:
            yield Finding(f"weights {entry.name}", "broken", error.message, error.hint)
        else:
            yield Finding(f"weights {entry.name}", "ok", f"checksum {entry.sha256[:12]}")


def _print(finding: Finding) -> None:
    mark = {"ok": "[green]ok     [/]", "absent": "[yellow]absent [/]", "broken": "[red]broken [/]"}[finding.state]
    console = Console(emoji=False)
    console.print(f"{mark} {finding.name}: ", end="", highlight=False)
    console.print(finding.detail, markup=False, highlight=False, soft_wrap=True)
    if finding.advice:
        console.print(f"        -> {finding.advice}", markup=False, highlight=False, soft_wrap=True)
