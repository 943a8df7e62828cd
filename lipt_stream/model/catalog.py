"""The weights that come with the package: `weights/index.toml`, and the files it names."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lipt_stream.errors import SettingsError, WeightsError, nearest
from lipt_stream.model.config import Scale
from lipt_stream.model.weights import Content, Task

INSTALLED = Path(__file__).parents[1] / "weights"
CHECKOUT = Path(__file__).parents[2] / "weights"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of weights. `name` is "nano-x2-video", `model` "nano"; the other fields are those of its WeightsInfo.

    `psnr` and `ssim` map a data set to what `lipt-stream eval` measures there, Y-PSNR in dB; at x1 to what
    `scripts/publish_weights.py` does. `curve`: a picture of the training run in the repository, "" where none was kept.
    """

    name: str
    model: str
    file: str
    sha256: str
    task: Task
    scale: Scale
    content: Content
    licence: str
    data: str
    steps: int
    minutes: float
    machine: str
    curve: str
    psnr: Mapping[str, float]
    ssim: Mapping[str, float]


def weights_dir() -> Path:
    """The folder of the weights: within the package as a wheel installs it, beside it in a checkout."""
    return INSTALLED if INSTALLED.is_dir() else CHECKOUT


def entries() -> tuple[Entry, ...]:
    """All weights, in the index's order. WeightsError where the index is missing or unreadable."""
    index = weights_dir() / "index.toml"
    try:
        tables = tomllib.loads(index.read_text(encoding="utf-8"))["weights"]
        return tuple(Entry(**table) for table in cast("list[dict[str, Any]]", tables))
    except OSError as error:
        raise WeightsError(f"Cannot read {index}: {error.strerror}", "Install the package again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{index} is no index of weights ({error})", "Install the package again") from error


def is_known(name: str) -> bool:
    """Whether weights that ship, or their network, are called so."""
    return any(name in (entry.name, entry.model) for entry in entries())


def find(name: str, scale: int) -> Entry:
    """The weights called `name` ("tiny-x2", whose own scale holds), or of the network `name` ("tiny") for `scale`.

    Of a network that has both, those for video: what people upscale has been through an encoder
    (benchmarks/film_quality.py shows what that is worth). At scale 1 those that remove an encoder's artefacts come
    before those that remove noise.

    SettingsError, with the nearest names, where there are none.
    """
    known = entries()
    fitting = [entry for entry in known if entry.name == name or (entry.model == name and entry.scale == scale)]
    if fitting:
        return min(fitting, key=lambda entry: (entry.content != "video", entry.task))
    scales = sorted({entry.scale for entry in known if entry.model == name})
    if scales:
        ways = ", ".join(f"x{other}" for other in scales)
        raise SettingsError(f"There are no weights of {name} for x{scale}", f"They come for {ways}")
    here = [entry for entry in known if entry.scale == scale] or known
    names = {called for entry in here for called in (entry.model, entry.name)}
    raise SettingsError(f"No weights are called {name!r}", nearest(name, names))


def first_with_weights(networks: Sequence[str], scale: int) -> str:
    """The first of `networks` that has weights for `scale`. SettingsError, with the scales that there are, where none
    has."""
    known = [entry for entry in entries() if entry.model in networks]
    for name in networks:
        if any(entry.model == name and entry.scale == scale for entry in known):
            return name
    ways = ", ".join(f"x{other}" for other in sorted({entry.scale for entry in known}))
    raise SettingsError(f"There are no weights for x{scale}", f"They come for {ways}")


def path_of(entry: Entry) -> Path:
    """Where the entry's file is."""
    return weights_dir() / entry.file


def verify(entry: Entry) -> None:
    """WeightsError where the entry's file is missing or is not, byte for byte, the one that the index describes."""
    path = path_of(entry)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"Cannot read {path}: {error.strerror}", "Install the package again") from error
    if digest != entry.sha256:
        raise WeightsError(
            f"{path} has the checksum {digest[:12]}, not {entry.sha256[:12]}", "Install the package again"
        )
