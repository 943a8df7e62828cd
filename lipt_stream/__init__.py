"""lipt-stream: video in, every frame through LIPT, larger video out; and an honest word on whether it keeps up."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from lipt_stream.errors import (
    DeviceError,
    InputError,
    LiptError,
    OutputError,
    SettingsError,
    WeightsError,
)

if TYPE_CHECKING:
    from lipt_stream.engine.upscaler import Upscaler
    from lipt_stream.model.config import LiptConfig
    from lipt_stream.model.lipt import LIPT, deploy
    from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights
    from lipt_stream.stream.frames import UpscaledFrame, upscale_frames
    from lipt_stream.stream.pipeline import Stop
    from lipt_stream.stream.report import Report
    from lipt_stream.stream.spec import PipelineSpec, load_preset
    from lipt_stream.stream.upscale import Progress, upscale_file

__all__ = [
    "LIPT",
    "DeviceError",
    "InputError",
    "LiptConfig",
    "LiptError",
    "OutputError",
    "PipelineSpec",
    "Progress",
    "Report",
    "SettingsError",
    "Stop",
    "UpscaledFrame",
    "Upscaler",
    "WeightsError",
    "WeightsInfo",
    "deploy",
    "load_preset",
    "load_weights",
    "save_weights",
    "upscale_file",
    "upscale_frames",
]

# Loaded when first asked for: torch takes seconds, and whoever imports this package to run its command line should be
# able to stop it before that.
_HOMES: Final = {
    "engine.upscaler": ("Upscaler",),
    "model.lipt": ("LIPT", "LiptConfig", "deploy"),
    "model.weights": ("WeightsInfo", "load_weights", "save_weights"),
    "stream.frames": ("UpscaledFrame", "upscale_frames"),
    "stream.pipeline": ("Stop",),
    "stream.report": ("Report",),
    "stream.spec": ("PipelineSpec", "load_preset"),
    "stream.upscale": ("Progress", "upscale_file"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"lipt_stream.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
