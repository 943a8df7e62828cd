"""What people read while the program works. A reader may go away (`| head -1`, a terminal closed): he is told no more,
and nothing ends for that. A disk that is full takes no more of a log until it has room again."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, cast

from lipt_stream.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def stand_in_for_closed_streams() -> None:
    """For a program that was started with its outputs closed (`>&-`) Python has None in their place. What is said goes
    nowhere then, and no file of ours gets the number of an output, into which libraries write."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  open to the end


def screen(stream: TextIO) -> TextIO:
    """`stream`, except that what cannot be written to it is dropped, and all that follows, unless there was no room for
    it. For rich's Console, which exits at a broken pipe."""
    return cast("TextIO", _Screen(stream))


def can_redraw(console: Console) -> bool:
    """Whether lines can be drawn over. On a terminal that cannot (TERM=dumb, an editor's shell) rich's displays show
    nothing before their end."""
    return console.is_terminal and not console.is_dumb_terminal


def say_error(text: str) -> None:
    """A line to standard error."""
    listener = screen(sys.stderr)
    listener.write(text + "\n")
    listener.flush()


def with_notes(text: str, error: BaseException) -> str:
    """`text`, and behind it what was noted with the error: where the part is that was done."""
    return ". ".join([text, *getattr(error, "__notes__", ())])


def defect(error: Exception) -> str:
    """An error that nobody raised on purpose, in one line."""
    said = with_notes(f"a defect in lipt-stream, {type(error).__name__}: {error}", error)
    return f"{one_line(said)}. Please report it with the output of `lipt-stream --debug ...`"


class _Screen:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lead_to_nowhere(for_good=error.errno not in _NO_ROOM)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lead_to_nowhere(for_good=error.errno not in _NO_ROOM)

    def _lead_to_nowhere(self, *, for_good: bool) -> None:
        """With what is in its buffer, which would fail again when Python exits, and make that the exit code."""
        number = self._stream.fileno()
        kept = os.dup(number)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
        if not for_good:
            self._stream.flush()
            os.dup2(kept, number)
        os.close(kept)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
