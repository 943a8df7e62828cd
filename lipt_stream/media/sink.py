"""What every sink of pictures promises."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lipt_stream.frame import Frame


class Sink(Protocol):
    """Where finished pictures go, in the order and with the times that they are given.

    Used by one thread at a time. Ends with `close` when all is written, or with `abort` after an error or a cancel.
    `notes` are remarks for the user, each said once.
    """

    @property
    def frames_written(self) -> int: ...

    @property
    def notes(self) -> list[str]: ...

    def write(self, frame: Frame) -> None:
        """Takes one picture. Its planes are borrowed until this returns. Raises OutputError."""
        ...

    def close(self) -> None:
        """Drains the encoder, finishes the copied streams, and puts the result under its name. May be called twice.

        Raises OutputError; call `abort` then.
        """
        ...

    def abort(self) -> Path | None:
        """Ends early. Returns where the playable part was kept, or None where there is none. May be called twice, and
        then returns the same: a caller who was interrupted can ask again."""
        ...
