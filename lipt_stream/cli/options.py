"""Options that several commands share, and what becomes of them: a PipelineSpec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final

import typer

from lipt_stream.errors import SettingsError
from lipt_stream.media.encoders import RATE_CONTROL
from lipt_stream.stream.spec import PipelineSpec, load_preset

Scale = Annotated[int | None, typer.Option(help="Enlargement: 1, 2, 3 or 4.", show_default="2")]
Model = Annotated[
    str | None,
    typer.Option(
        help="nano or tiny, a name from `lipt-stream models`, or a weights file.",
        show_default="tiny on a GPU, else nano; where only one has the scale, that one",
    ),
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.", show_default="auto")]
Precision = Annotated[
    str | None,
    typer.Option(
        help="auto, float32, float16 or bfloat16.",
        show_default="auto: float16 on GPUs, bfloat16 on CPUs that have it for film of 8 bits, else float32",
    ),
]
Runtime = Annotated[
    str | None, typer.Option(help="What runs the network: auto, torch or openvino.", show_default="auto")
]
Threads = Annotated[int | None, typer.Option(help="CPU threads of the network.", show_default="all cores")]
Depth = Annotated[
    int | None, typer.Option(help="Frames in flight between decoder and encoder, 2 to 64.", show_default="4")
]
Tile = Annotated[
    str | None,
    typer.Option(help="Longest tile side in source pixels, or auto.", show_default="auto: what memory allows"),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Named settings from pipelines/ (fast, balanced, quality, archive), or a .toml file. What it says of an "
        "encoder goes with that encoder alone."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON on stdout.")]

_MOST_DIGITS: Final = 9


def build_spec(
    preset: str | None, changes: Mapping[str, object], encoder_options: list[str] | None = None
) -> PipelineSpec:
    """The preset's fields, then those given on the command line (None: not given).

    What a preset says of its own encoder is no wish about another one, and its quality none beside a bit rate.
    """
    spec = PipelineSpec() if preset is None else load_preset(preset)
    given = {name: value for name, value in changes.items() if value is not None}
    tile = given.get("tile")
    if isinstance(tile, str) and tile != "auto":
        given["tile"] = _whole_number("--tile", tile)
    options = dict(_key_value(item) for item in encoder_options or ())
    if spec.encoder not in ("auto", given.get("encoder", spec.encoder)):
        spec = spec.but({"encoder_options": {}, "crf": None})
    if RATE_CONTROL & options.keys():
        spec = spec.but({"crf": None})
    return spec.but({"encoder_options": {**spec.encoder_options, **options}} | given)


def parse_time(option: str, text: str | None) -> float | None:
    """Seconds from "90", "1:30", "0:01:30.5"; None stays None."""
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = []
    if not 1 <= len(parts) <= 3 or not all(0 <= part < math.inf for part in parts):
        raise SettingsError(f"{option} {text} is no time", "Write seconds, M:SS or H:MM:SS")
    seconds = 0.0
    for part in parts:
        seconds = seconds * 60 + part
    return seconds


def _key_value(item: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not key or not equals:
        raise SettingsError(f"-e {item} is no option", "Write -e key=value, such as -e preset=slow")
    return key, value


def _whole_number(option: str, text: str) -> int:
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise SettingsError(f"{option} {text[:_MOST_DIGITS]} is no size", "Write auto or a number of pixels")
    return int(text)
