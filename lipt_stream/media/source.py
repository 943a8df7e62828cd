"""What every source of pictures promises."""

from __future__ import annotations

from typing import Protocol

from lipt_stream.frame import End, Frame, Planes, VideoFormat


class Source(Protocol):
    """A stream of pictures, each delivered once, in presentation order.

    Used by one thread at a time. `notes` are remarks for the user, each said once; they may grow while reading.
    `frames_concealed` counts pictures and packets that were damaged: replaced, repaired or skipped, never silently.
    """

    @property
    def format(self) -> VideoFormat:
        """What `read` delivers; the same from the first picture to the last."""
        ...

    @property
    def frame_count_estimate(self) -> int | None:
        """About how many pictures will come, for progress; None where nothing tells."""
        ...

    @property
    def notes(self) -> list[str]: ...

    @property
    def frames_concealed(self) -> int: ...

    def read(self, into: Planes) -> Frame | End:
        """Copies the next picture into the caller's planes (shaped as `format.plane_shapes`) and describes it.

        Blocks until there is one. Returns END after the last, and again each time it is asked.
        pts strictly increases. Raises InputError.
        """
        ...

    def close(self) -> None:
        """Releases the input. May be called twice; `read` after it returns END."""
        ...
