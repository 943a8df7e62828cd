"""What a run has around it that its spec does not hold: images, start, teacher, precision. Only the same goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from lipt_stream.errors import SettingsError
from lipt_stream.train.checkpoint import Checkpoint


def digest_of_images(images: Iterable[NDArray[np.uint8]]) -> str:
    """Of their sizes and pixels, in order."""
    whole = hashlib.blake2b(digest_size=16)
    for image in images:
        whole.update(repr(image.shape).encode())
        whole.update(image.tobytes())
    return whole.hexdigest()


def digest_of_file(path: Path | None) -> str:
    """Empty where there is none, or none any more, which a run that goes on does not need; it waits for no pipe."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.is_file() else ""
    except OSError:
        return ""


def require_same(checkpoint: Checkpoint, surroundings: Mapping[str, str], device: torch.device) -> None:
    """SettingsError, naming each difference. A figure on other validation images is no better one, and a run on other
    images is another. The precision is that of the device: on another kind of device it may be another."""
    theirs = checkpoint.surroundings
    differing = [name for name in surroundings if name in theirs and surroundings[name] != theirs[name]]
    if checkpoint.device != device.type and "precision" in differing:
        differing.remove("precision")
    if differing:
        words = " and ".join(_told(name, theirs[name]) for name in differing)
        raise SettingsError(f"The checkpoint is of a run with {words}", "Use its own, or another --out")


def _told(name: str, theirs: str) -> str:
    if name == "precision":
        return f"the precision {theirs}"
    if name.endswith("images"):
        return f"other {name}"
    return f"another {name}" if theirs else _WITHOUT[name]


_WITHOUT: Final = {"start": "the usual start", "teacher": "no teacher"}
