"""A training run on disk: all that `--resume` needs to go on as if it had never stopped."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from lipt_stream.errors import InputError, OutputError, SettingsError
from lipt_stream.model.weights import BROKEN
from lipt_stream.train.spec import TrainSpec, spec_from_json

FILE = "checkpoint.pt"
FORMAT = 2
"""Of what is in it. 1 had another optimizer's state."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`seconds` of the budget are spent after `step` steps. The rest are state dicts and a generator's state.

    `best` is the deployed network that validated best, None before the first validation on the way; `start` what the
    run began with, until then. They had `best_psnr` and `start_psnr` dB. `device` is the type of that on which the
    generator was; `surroundings` tell of what the spec does not hold: images, start, teacher, precision. `record`,
    (steps, 2), and `looked` are what the loop remembers of the steps since its last look, `validation_seconds` what the
    last validation took.
    """

    spec: TrainSpec
    step: int
    seconds: float
    model: dict[str, Any]
    average: dict[str, Any]
    best: dict[str, Any] | None
    optimizer: dict[str, Any]
    generator: torch.Tensor
    best_psnr: float | None
    start_psnr: float | None = None
    start: dict[str, Any] | None = None
    device: str = "cpu"
    surroundings: dict[str, str] = field(default_factory=dict[str, str])
    record: torch.Tensor = field(default_factory=lambda: torch.empty(0, 2))
    looked: float = 0.0
    validation_seconds: float = 0.0


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write it so that the previous one stays whole until this one is. OutputError where that fails."""
    path = folder / FILE
    part = path.with_name(FILE + ".part")
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    whole = io.BytesIO()  # given a full disk, torch.save would speak of its archive instead
    torch.save(fields | {"spec": checkpoint.spec.as_json(), "format": FORMAT}, whole)
    try:
        with part.open("wb") as file:
            file.write(whole.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # of a file system that became read-only this fails too
            part.unlink(missing_ok=True)
        raise OutputError(
            f"Cannot write the checkpoint {path}: {error.strerror}",
            "Make room and go on with --resume" if path.exists() else "Check the folder and its space",
        ) from error


def require_run(folder: Path) -> None:
    """InputError where no run is in `folder`."""
    if not os.path.lexists(folder / FILE):
        raise InputError(f"No run is in {folder}", "Train without --resume to begin")


def load_checkpoint(folder: Path, spec: TrainSpec) -> Checkpoint:
    """The checkpoint in `folder`, of this very run.

    Raises:
        InputError: there is none, it is damaged, or of another version.
        SettingsError: it is of a run with other settings, each of which is named.
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            if wrong := zipfile.ZipFile(file).testzip():  # torch does not compare what it reads with its checksums
                raise zipfile.BadZipFile(wrong)
            file.seek(0)
            fields = cast("dict[str, Any]", torch.load(file, map_location="cpu", weights_only=True))
        if fields.pop("format", 1) != FORMAT:  # before what another version calls otherwise is taken for damage
            raise InputError(
                f"{path} was written by another version", "Begin anew, with its weights.safetensors as --init"
            )
        fields["spec"] = spec_from_json(fields["spec"])
        found = Checkpoint(**fields)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}", "Check the file") from error
    except (*BROKEN, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged", "Begin anew in another --out") from error
    if differing := spec.differences(found.spec):
        raise SettingsError(
            f"{path} is of another run: {', '.join(differing)} there", "Use its settings, or another --out"
        )
    return found
