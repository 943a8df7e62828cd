"""lipt-stream: video in, every frame through LIPT, larger video out; and an honest word on whether it keeps up."""

from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import (
    DeviceError,
    InputError,
    LiptError,
    OutputError,
    SettingsError,
    WeightsError,
)
from lipt_stream.model.lipt import LIPT, LiptConfig, deploy
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
