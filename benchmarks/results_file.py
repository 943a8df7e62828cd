"""Every result names its date and machine."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import torch

from lipt_stream.observe.process import describe_machine


def write_result(path: Path | None, **figures: Any) -> None:
    """Write figures as JSON, with date and machine; to nowhere where no path was asked for."""
    if path is None:
        return
    machine = describe_machine() | {"instructions": _instructions(), "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    document = {"date": date.today().isoformat(), "machine": machine, **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def _instructions() -> str:
    """Of the CPU. OpenVINO, which tells of bfloat16, is missing on a bare GPU machine."""
    capability = torch.backends.cpu.get_cpu_capability()
    try:
        from lipt_stream.engine.openvino_runtime import has_bfloat16
    except ImportError:
        return capability
    return f"{capability}, bfloat16" if has_bfloat16() else capability
