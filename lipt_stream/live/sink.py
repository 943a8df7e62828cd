"""What every live sink promises: it takes packets at once or drops them, and says how it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from lipt_stream.media.encoded import EncodedPacket, EncodedStream

SinkState: TypeAlias = Literal["starting", "ok", "retrying", "failed", "closed"]
"""`starting`: nothing was delivered yet. `retrying`: it failed and is started again. `failed`: it cannot ever work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkStatus:
    """How a sink does. `name` never holds a password. `detail` is one plain line, "" where there is nothing to say;
    `last_trouble` why it was begun again the last time, which may be long over."""

    name: str
    state: SinkState
    delivered: int  # packets of pictures that were handed on
    dropped: int  # packets of pictures that were not
    restarts: int
    detail: str = ""
    last_trouble: str = ""


class LiveSink(Protocol):
    """Where encoded packets go. `open` comes once, before any other call; `offer` is called by one thread; `close` and
    the rest by any, also while an `offer` goes on.

    No call blocks for longer than a lock is held, save `close`, which takes at most its timeout.
    """

    def open(self, streams: Sequence[EncodedStream]) -> None:
        """Once, before the first packet. The first stream is the picture; a second one, if any, is sound."""
        ...

    def offer(self, packet: EncodedPacket) -> None:
        """Takes the packet, or drops it and all that follow until the next keyframe, and counts what it dropped."""
        ...

    @property
    def wants_keyframe(self) -> bool:
        """Whether it is ready, and all that comes before the next keyframe would be dropped."""
        ...

    def status(self) -> SinkStatus: ...

    def close(self, timeout_seconds: float) -> None:
        """Ends the sink tidily: files are finished, children gone. May be called twice."""
        ...
