"""The names that others may rely on."""

from __future__ import annotations

import inspect
from importlib import resources

import lipt_stream


def test_public_names() -> None:
    assert sorted(lipt_stream.__all__) == [
        "DeviceError",
        "InputError",
        "LIPT",
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
    assert all(hasattr(lipt_stream, name) for name in lipt_stream.__all__)


def test_load_takes_what_is_promised() -> None:
    parameters = inspect.signature(lipt_stream.Upscaler.load).parameters
    assert parameters["device"].default == parameters["precision"].default == "auto"


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files(lipt_stream).joinpath("py.typed").is_file()
