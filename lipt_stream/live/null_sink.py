"""A live sink that counts packets and lets them go."""

from __future__ import annotations

from collections.abc import Sequence

from lipt_stream.live.sink import SinkStatus
from lipt_stream.media.encoded import EncodedPacket, EncodedStream


class NullSink:
    """Implements LiveSink."""

    def __init__(self, name: str = "null") -> None:
        self._name = name
        self._delivered = 0
        self._is_closed = False

    def open(self, streams: Sequence[EncodedStream]) -> None:
        """Anything will do."""

    def offer(self, packet: EncodedPacket) -> None:
        self._delivered += packet.kind == "video"

    @property
    def wants_keyframe(self) -> bool:
        return False

    def status(self) -> SinkStatus:
        state = "closed" if self._is_closed else "ok" if self._delivered else "starting"
        return SinkStatus(name=self._name, state=state, delivered=self._delivered, dropped=0, restarts=0)

    def close(self, timeout_seconds: float) -> None:  # noqa: ARG002 there is nothing to wait for
        self._is_closed = True
