"""Every error this package raises on purpose.

    LiptError
    ├── InputError        a source cannot be opened, read or decoded
    │   ├── AddressError  and will not be, as it is written: a wrong password, no such camera, no video in it
    │   │   └── BusyError for another program has the camera
    │   └── AbsentError   for nobody answers: a camera that is off, unplugged or hung
    ├── OutputError       a result cannot be written, or the container or encoder cannot hold it
    ├── WeightsError      a weights file is missing, damaged or of another network
    ├── SettingsError     an option, key or combination of them is wrong (found before any work)
    ├── DeviceError       a device is missing or too small
    └── TrainingError     a training run came to numbers that are not finite

A message says what happened and where; `hint` says what to do. Together they are the one line a user sees.
Foreign errors are translated where their library enters the house: av's in `media/av_errors.py`, torch's and
the inference runtimes' in `engine`, files of weights in `model/weights.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from unicodedata import category


class LiptError(Exception):
    """Base of the tree. `str(error)` is the whole line: message and hint."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return one_line(f"{self.message}. {self.hint}" if self.hint else self.message)


class InputError(LiptError):
    """A source cannot be opened, read or decoded."""


class AddressError(InputError):
    """A live source cannot be opened as it is written: wrong password, no such camera, no video. Waiting is no help."""


class BusyError(AddressError):
    """Somebody has the device of a live source open, and it cannot be opened twice."""


class AbsentError(InputError):
    """Nobody answers at a live source's address, or no longer: a camera that is off, unplugged or hung."""


class OutputError(LiptError):
    """A result cannot be written, or the container or encoder cannot hold it."""


class WeightsError(LiptError):
    """A weights file is missing, damaged, or belongs to another network."""


class SettingsError(LiptError):
    """An option or a combination of options is wrong. Raised before any work is done."""

    exit_code = 2


class DeviceError(LiptError):
    """A device was asked for that is not there, or has too little memory even for a tile."""


class TrainingError(LiptError):
    """A loss or its gradient became NaN or infinite."""


def one_line(text: str) -> str:
    """As it may stand in a line that names a file: file names may have newlines, and codes that steer a terminal."""
    return "".join(repr(letter)[1:-1] if category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint for a mistyped name: its nearest neighbours, or all names when nothing is near."""
    names = sorted(known)
    close = difflib.get_close_matches(name.casefold(), names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(close) + "?"
    return "Known: " + ", ".join(names)
