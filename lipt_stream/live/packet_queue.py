"""The packets that wait for a sink: bounded, and never broken off in the middle of what can be decoded."""

from __future__ import annotations

import threading
from collections import deque
from fractions import Fraction

from lipt_stream.frame import END, End
from lipt_stream.media.encoded import EncodedPacket


class PacketQueue:
    """Packets on their way to another thread: at most `seconds` of pictures and `size_bytes` of everything.

    A packet too many drops all that waits, which is the oldest there is, and all that comes until the next keyframe:
    what is taken can always be decoded. Sound goes the way of the pictures. `dropped` counts packets of pictures.
    A single keyframe is kept whatever its size.
    """

    def __init__(self, *, seconds: float, size_bytes: int, time_base: Fraction) -> None:
        """`time_base` is that of the pictures' packets."""
        self.dropped = 0
        self._most_ticks = seconds / time_base
        self._most_bytes = size_bytes
        self._bytes = 0
        self._packets: deque[EncodedPacket] = deque()
        self._waits_for_keyframe = True
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def waits_for_keyframe(self) -> bool:
        """Whether packets are dropped until one comes."""
        return self._waits_for_keyframe and not self._is_closed

    def offer(self, packet: EncodedPacket) -> None:
        """Takes the packet or drops it, at once."""
        with self._changed:
            if self._is_closed:
                self._count_dropped(packet)
                return
            if self._is_full_with(packet):
                self._drop_before(len(self._packets))
            if self._waits_for_keyframe and not _is_keyframe(packet):
                self._count_dropped(packet)
                return
            self._waits_for_keyframe = False
            self._packets.append(packet)
            self._bytes += len(packet.data)
            self._changed.notify()

    def take(self, timeout_seconds: float) -> EncodedPacket | End | None:
        """The next packet; END when the queue is closed and empty; None when nothing came in time."""
        with self._changed:
            if not self._packets and not self._is_closed:
                self._changed.wait(timeout_seconds)
            if self._packets:
                packet = self._packets.popleft()
                self._bytes -= len(packet.data)
                return packet
            return END if self._is_closed else None

    def start_anew(self, *, at_newest: bool) -> None:
        """What is taken next is a keyframe: the newest that waits, or the oldest. What comes before it is dropped."""
        with self._changed:
            keyframes = [number for number, packet in enumerate(self._packets) if _is_keyframe(packet)]
            if keyframes:
                self._drop_before(keyframes[-1 if at_newest else 0])
            else:
                self._drop_before(len(self._packets))

    def close(self, *, drop: bool = False) -> None:
        """No packet is taken any more; those that wait can still be, unless `drop`. May be called twice."""
        with self._changed:
            self._is_closed = True
            if drop:
                self._drop_before(len(self._packets))
            self._changed.notify_all()

    def _is_full_with(self, packet: EncodedPacket) -> bool:
        if self._bytes + len(packet.data) > self._most_bytes:
            return True
        oldest = next((waiting for waiting in self._packets if waiting.kind == "video"), None)
        return packet.kind == "video" and oldest is not None and packet.dts - oldest.dts > self._most_ticks

    def _drop_before(self, count: int) -> None:
        """Drops the first `count` packets; if that is all, what comes next must be a keyframe."""
        for _ in range(count):
            packet = self._packets.popleft()
            self._bytes -= len(packet.data)
            self._count_dropped(packet)
        if not self._packets:
            self._waits_for_keyframe = True

    def _count_dropped(self, packet: EncodedPacket) -> None:
        self.dropped += packet.kind == "video"


def _is_keyframe(packet: EncodedPacket) -> bool:
    return packet.kind == "video" and packet.is_keyframe
