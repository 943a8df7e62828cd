"""What people read while the program works. A reader may go away (`| head -1`, a terminal closed): he is told no more,
and nothing ends for that."""

from __future__ import annotations

import os
import sys
from typing import TextIO, cast


def screen(stream: TextIO) -> TextIO:
    """`stream`, except that what cannot be written to it is dropped, and all that follows. For rich's Console, which
    exits at a broken pipe."""
    return cast("TextIO", _Screen(stream))


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
    line = said.replace("\n", "\\n")
    return f"{line}. Please report it with the output of `lipt-stream --debug ...`"


class _Screen:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._fall_silent()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._fall_silent()

    def _fall_silent(self) -> None:
        """Leads the stream to nowhere: its buffer would fail again when Python exits, and make that the exit code."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
