"""PipelineSpec: everything that a run of the file pipeline can be told, and the presets that name useful sets of it."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from lipt_stream.engine.runtimes import MAX_THREADS, Precision, RuntimeName
from lipt_stream.engine.upscaler import Tile
from lipt_stream.errors import SettingsError, nearest
from lipt_stream.media.copy_plan import Unfit
from lipt_stream.media.deinterlace import Deinterlace


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSpec:
    """Settings of a run. Every field has a default; a preset and then the caller override single fields.

    Raises SettingsError for values that cannot be meant, by their type or their size. Can be pickled.
    """

    model: str | Path = "auto"  # a name from weights/, a file, or "auto": see load_upscaler
    scale: int = 2
    device: str = "auto"  # "auto", "cpu", "cuda", "cuda:N"
    precision: Precision = "auto"
    runtime: RuntimeName = "auto"
    threads: int | None = None  # of the network, on a CPU
    depth: int = 4  # slots: frames between decoder and encoder
    tile: Tile = "auto"  # longest tile side in input pixels
    deinterlace: Deinterlace = "auto"  # "auto": pictures that are flagged as interlaced
    unfit: Unfit = "refuse"  # what becomes of sound and subtitles that the container cannot hold
    encoder: str = "auto"
    crf: int | None = None  # the encoder's constant quality; None for the encoder's default here
    encoder_options: Mapping[str, str] = field(default_factory=dict[str, str])
    encoder_threads: int | None = None
    decoder_threads: int | None = None

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check_type(item.name, getattr(self, item.name))
        _check(self.scale in (1, 2, 3, 4), f"scale is {self.scale!r}", "Use 1, 2, 3 or 4")
        _check(2 <= self.depth <= 64, f"depth is {self.depth!r}", "Use 2 to 64 slots")
        _check(self.precision in get_args(Precision), f"precision is {self.precision!r}", _one_of(Precision))
        _check(self.runtime in get_args(RuntimeName), f"runtime is {self.runtime!r}", _one_of(RuntimeName))
        _check(self.deinterlace in get_args(Deinterlace), f"deinterlace is {self.deinterlace!r}", _one_of(Deinterlace))
        _check(self.unfit in get_args(Unfit), f"unfit is {self.unfit!r}", _one_of(Unfit))
        _check(isinstance(self.tile, str) or self.tile > 0, f"tile is {self.tile!r}", "Use auto or a side in pixels")
        for name in ("threads", "encoder_threads", "decoder_threads"):
            count = getattr(self, name)
            _check(count is None or 0 < count <= MAX_THREADS, f"{name} is {count!r}", f"Use 1 to {MAX_THREADS}")

    def but(self, changes: Mapping[str, object]) -> PipelineSpec:
        """This spec with some fields changed. Unknown names and wrong types raise SettingsError."""
        for name in changes:
            _check(name in _FIELD_TYPES, f"There is no setting {name}", nearest(name, _FIELD_TYPES))
        return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]  it checks them


# What a value of each field may be. Fields that also take "auto" take a string beside their number.
_FIELD_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "model": (str, Path),
    "scale": (int,),
    "device": (str,),
    "precision": (str,),
    "runtime": (str,),
    "threads": (int, type(None)),
    "depth": (int,),
    "tile": (int, str),
    "deinterlace": (str,),
    "unfit": (str,),
    "encoder": (str,),
    "crf": (int, type(None)),
    "encoder_options": (Mapping,),
    "encoder_threads": (int, type(None)),
    "decoder_threads": (int, type(None)),
}


_IN_WORDS: Final[dict[type, str]] = {
    str: "a word",
    Path: "a path",
    int: "a whole number",
    type(None): "left out",
    Mapping: "a table of words",
}


def preset_names() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.stem for path in _presets_folder().glob("*.toml")))


def load_preset(name_or_path: str | Path, base: PipelineSpec | None = None) -> PipelineSpec:
    """A spec from a preset's name or a TOML file: each key one field, unknown keys refused with the nearest name."""
    path = _preset_file(name_or_path)
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        hint = f"Check the path; by name there are {', '.join(preset_names())}"
        raise SettingsError(f"The preset {path} cannot be read ({error.strerror})", hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"The preset {path} is not TOML ({error})") from error
    try:
        return (base or PipelineSpec()).but(values)
    except SettingsError as error:
        raise SettingsError(f"In {path.name}: {error.message}", error.hint) from error


def _preset_file(name_or_path: str | Path) -> Path:
    if Path(name_or_path).suffix == ".toml":
        return Path(name_or_path)
    if str(name_or_path) not in preset_names():
        hint = nearest(str(name_or_path), preset_names())
        end = "" if hint.endswith("?") else "."
        raise SettingsError(
            f"There is no preset {name_or_path}",
            f"{hint}{end} An encoder's own preset is given as -e preset={name_or_path}",
        )
    return _presets_folder() / f"{name_or_path}.toml"


def _presets_folder() -> Path:
    """`pipelines/`: inside the package in a wheel, beside it in an editable checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "pipelines"
    return inside if inside.is_dir() else package.parent / "pipelines"


def _check_type(name: str, value: object) -> None:
    types = _FIELD_TYPES[name]
    right = isinstance(value, types) and not isinstance(value, bool)
    if name == "tile":
        right = right and (isinstance(value, int) or value == "auto")
    if isinstance(value, Mapping):
        right = right and all(isinstance(word, str) for item in value.items() for word in item)  # pyright: ignore[reportUnknownVariableType]
    _check(right, f"{name} cannot be {value!r}", "It is " + " or ".join(_IN_WORDS[kind] for kind in types))


def _check(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise SettingsError(message, hint)


def _one_of(literal: object) -> str:
    return "Use " + ", ".join(get_args(literal))
