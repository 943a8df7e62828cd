"""scripts/train_on_gpu, as its tests call it."""

from __future__ import annotations

import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "train_on_gpu"
MODULE = runpy.run_path(str(SCRIPT), run_name="train_on_gpu")
OPTIONS = "--model nano --batch 2 --patch 8 --tail-patch 16 --threads 1 --device cpu"


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=240, check=False
    )


def in_this_process(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path | float) -> int:
    """The script without a process of its own, which would first import torch: its exit code. What trains has one."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        MODULE["main"]()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def prepared(monkeypatch: pytest.MonkeyPatch, photos: Path, out: Path, *more: str | float) -> None:
    words = ("prepare", "--data", photos, "--valid", photos / "more", "--out", out, *more)
    assert in_this_process(monkeypatch, *words) == 0
