"""The file in which a result grows until it is whole: `NAME.part`, written by one run at a time."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, Final

from lipt_stream.errors import OutputError

if sys.platform != "win32":
    import fcntl

_LONG_NUMBER: Final = 99


def part_path(result: Path) -> Path:
    """What `result` is called until it is whole."""
    return result.with_name(result.name + ".part")


def refuse_unwritable(result: Path, source: Path | None) -> None:
    """OutputError where `result`, or what it is called until it is whole, is no file or is `source`; and OSError."""
    part = part_path(result)
    with suppress(FileNotFoundError):
        os.lstat(_partial_name(result, _LONG_NUMBER))  # raises where that name, the longest, is too long
    for place, what in ((result, "it"), (part, f"{part.name}, as it is called until it is whole,")):
        if place.is_dir():
            raise OutputError(f"Cannot write {result}: {what} is a directory", "Name a file.")
        if place.exists() and not place.is_file():
            raise OutputError(f"Cannot write {result}: {what} is a pipe or a device", "Name a file.")
        if source is not None and place.exists() and place.samefile(source):
            raise OutputError(f"Cannot write {result}: {what} is the source itself", "Choose another name.")


class PartFile:
    """Makes `NAME.part` beside `result`, empty, and holds it for this run alone until it is renamed or removed.

    What is there already was left by a run that was killed: it is set aside under a partial name (`set_aside`). Raises
    OutputError where another run writes it, and OSError. `unlocked_because`: why it could not be locked, else empty.
    """

    def __init__(self, result: Path) -> None:
        self._result = result
        self.path = part_path(result)
        self.set_aside: Path | None = None
        self._held, self.unlocked_because = _hold(self.path)
        while self.path.stat().st_size:
            self.set_aside = self.keep()
            self._held, self.unlocked_because = _hold(self.path)
        try:
            if not _lets_others_write(self.path):
                _unlock(self._held)
                self.unlocked_because = "a lock keeps FFmpeg itself from writing"
        except BaseException:
            self.remove()
            raise

    def rename(self, name: Path) -> None:
        """Gives the file its final name, in place of any file that has it."""
        self.path.replace(name)
        self._held.close()

    def keep(self) -> Path:
        """Renames the file to NAME.partial.EXT, numbered where there is one already, and returns that."""
        number = 1
        while (name := _partial_name(self._result, number)).exists():
            number += 1
        self.rename(name)
        return name

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._held.close()


def _partial_name(result: Path, number: int) -> Path:
    middle = ".partial" if number == 1 else f".partial-{number}"
    return result.with_name(f"{result.stem}{middle}{result.suffix}")


def _hold(path: Path) -> tuple[BinaryIO, str]:
    """`path`, made where it is missing, its content untouched; locked until the file is closed. And, where it could not
    be locked, why."""
    while True:
        with ExitStack() as stack:
            file = stack.enter_context(path.open("ab"))
            if sys.platform == "win32":
                return file, ""  # closed: an open file cannot be renamed there, so one that another run writes is safe
            unlocked_because = ""
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                result = path.with_suffix("")
                raise OutputError(f"Cannot write {result}: another run writes it", "Choose another name.") from None
            except OSError as error:  # a file system without locks
                unlocked_because = error.strerror or str(error)
            if _is_called(path, file):  # else the run that held it has just renamed it
                stack.pop_all()
                return file, unlocked_because


def _is_called(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lets_others_write(path: Path) -> bool:
    """Whether FFmpeg, which opens the file by itself, can write to it beside our lock: on SMB shares Linux makes such
    that keep it from that (flock(2))."""
    if sys.platform == "win32":
        return True
    try:
        with path.open("r+b", buffering=0) as other:
            other.write(b"\0")
            other.truncate(0)
    except PermissionError:
        return False
    return True


def _unlock(held: BinaryIO) -> None:
    if sys.platform != "win32":
        fcntl.flock(held, fcntl.LOCK_UN)
