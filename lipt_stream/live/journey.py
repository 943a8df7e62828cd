"""The journey of a live picture: it leaves within its latency, or not at all.

    feed's thread                  upscale thread                   encode thread
    slot = a free one              slot = waiting.get()             slot = upscaled.get()
    fill(slot.host_in)             too late? then it is dropped     slot.wait()
    waiting.put(slot)              engine.submit(slot)              broadcast.write(slot.host_out)
                                   upscaled.put(slot)               free.put(the slot before)

(Before a slot is taken from those waiting, there must be room in flight: what waits there can still be overtaken.)

The slots are the only bound, as in `stream/pipeline.py`; but where a film's decoder waits for one, a camera does not:
a picture that finds none, is overtaken while it waits or would come too late is dropped, and counted by reason.
Where pictures take longer than they come apart, one waits, and the newest wins: more would only make all of them old.
Else a few may wait, within the latency, so that one slow picture (a keyframe, in which every tile changes) costs none.
The slot of the last picture is held back, so that it can be sent again while the camera is gone or the user pauses.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from lipt_stream.engine.slots import Slot
from lipt_stream.frame import Frame, Planes, VideoFormat
from lipt_stream.live.broadcast import Broadcast
from lipt_stream.live.mailbox import Mailbox
from lipt_stream.live.notice import with_notice
from lipt_stream.live.stats import DropReason, LiveMeters
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.live_clock import TICKS_PER_SECOND

WAITING: Final = 3
"""Pictures that may wait for the network where it keeps up."""
DEPTH: Final = WAITING + 4
"""Slots: one being filled, those waiting, one computed, one encoded, and the last picture."""
IN_FLIGHT: Final = 2
"""Pictures between submission and their sinks: on a GPU one is computed while the one before is downloaded."""
LEAST_STEP: Final = TICKS_PER_SECOND // 1_000
"""Between the times of two pictures: Matroska, WebM and FLV count in milliseconds."""
REPEAT_SECONDS: Final = 0.1
"""How often the last picture is sent again where no new one may come."""

_REMEMBER: Final = 0.8  # of the old value, in the running mean of what encoding takes


class Pilot(Protocol):
    """Who decides which rung of the ladder computes the next picture. Called by the upscale thread, unless said."""

    @property
    def expected_seconds(self) -> float:
        """How long the next picture will probably take."""
        ...

    @property
    def keeps_up(self) -> bool:
        """Whether pictures take no longer than they come apart. Called by the feed's thread."""
        ...

    def submit(self, slot: Slot) -> None:
        """Enqueue the picture, on the rung that is due."""
        ...

    def dropped(self) -> None:
        """A picture was dropped because those before it took too long. Called by any thread."""
        ...

    def landed(self, slot: Slot) -> tuple[int, int]:
        """The picture is computed: its (tiles, tiles reused). Called by the encode thread."""
        ...


class Journey:
    """Three threads and `slots` between them. `offer` and `sound` are the feed's, the rest anyone's."""

    def __init__(
        self,
        slots: list[Slot],
        pilot: Pilot,
        broadcast: Broadcast,
        meters: LiveMeters,
        target: VideoFormat,
        *,
        latency_seconds: float,
        standstill: Callable[[], str | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` is the one that arrivals are told by. `standstill` says whether the last picture is to be sent again
        while no new one comes: None if not, else the notice over it, or ""."""
        self._pilot, self._broadcast, self._meters, self._target = pilot, broadcast, meters, target
        self._latency_seconds, self._clock = latency_seconds, clock
        self._standstill = standstill
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._waiting: Mailbox[Slot] = Mailbox()
        self._upscaled: queue.SimpleQueue[Slot | EncodedPacket] = queue.SimpleQueue()
        self._in_flight = threading.Semaphore(IN_FLIGHT)
        self._last: Slot | None = None
        self._last_lock = threading.Lock()  # whoever copies from the last picture keeps its slot from going back
        self._last_left_at_seconds = 0.0  # when it went to the sinks
        self._encode_seconds = 0.0  # what that takes of late
        self._last_pts = -LEAST_STEP
        self._index = 0
        self._ending = threading.Event()
        self._no_more = threading.Event()  # pictures come to be encoded
        self.error: BaseException | None = None
        self.awaited: int | None = None
        """The index of the picture that the device is waited for, by the encode thread."""
        self._threads = [
            threading.Thread(target=self._guarded, args=(stage,), name=f"lipt-live-{name}", daemon=True)
            for stage, name in ((self._upscale, "upscale"), (self._encode, "encode"))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """What waits is finished where it is not too late for it. Whether both threads have ended: a picture that takes
        longer than the timeout is left behind, with its thread."""
        until = time.monotonic() + timeout_seconds
        self._ending.set()
        upscale, encode = self._threads
        if upscale.is_alive():
            upscale.join(timeout_seconds)
        self._no_more.set()
        if encode.is_alive():
            encode.join(max(0.0, until - time.monotonic()))
        return not (upscale.is_alive() or encode.is_alive())

    @property
    def failed(self) -> bool:
        return self.error is not None

    def fail(self, error: BaseException) -> None:
        """Ends the journey for an error, if none has yet. Called by any thread."""
        self.error = self.error or error
        self._ending.set()

    def offer(self, fill: Callable[[Planes], None], pts: int, arrived_seconds: float) -> None:
        """One picture of the source, which `fill` writes into a slot's planes. Never waits for a slot. Raises what
        `fill` raises.

        One that is late already is not filled in: where that takes longer than pictures come apart, all of them would
        be late, and none would ever leave.
        """
        self._meters.came_in()
        if self._clock() - arrived_seconds > self._latency_seconds:
            self._drop("late")
            return
        try:
            slot = self._free.get_nowait()
        except queue.Empty:
            oldest = self._waiting.take_back()
            if oldest is None:
                self._drop("no_slot")
                return
            slot = oldest
            self._drop("overtaken")
        try:
            fill(slot.host_in)
        except BaseException:
            self._drop("unreadable")
            self._free.put(slot)
            raise
        slot.frame = Frame(index=self._index, pts=pts, duration=0, planes=slot.host_in)
        slot.read_at_seconds = arrived_seconds
        self._index += 1
        for overtaken in self._waiting.put(slot, WAITING if self._pilot.keeps_up else 1):
            self._drop("overtaken")
            self._free.put(overtaken)

    def sound(self, packet: EncodedPacket) -> None:
        self._upscaled.put(packet)

    def last_planes(self) -> tuple[Planes, Planes] | None:
        """Copies of the newest picture's planes, source and result; None before the first."""
        with self._last_lock:
            if self._last is None:
                return None
            return _copies(self._last.host_in), _copies(self._last.host_out)

    def _upscale(self) -> None:
        while not self._ending.is_set():
            if not self._in_flight.acquire(timeout=REPEAT_SECONDS):
                continue
            slot = self._waiting.get(REPEAT_SECONDS)
            if slot is None or not self._upscale_in_time(slot):
                self._in_flight.release()
        while (slot := self._waiting.take_back()) is not None:
            if not self._in_flight.acquire(timeout=REPEAT_SECONDS):
                self._give_up(slot)
            elif not self._upscale_in_time(slot):
                self._in_flight.release()

    def _upscale_in_time(self, slot: Slot) -> bool:
        """Whether it was not too late for it."""
        if self._is_late(slot):
            self._give_up(slot)
            return False
        self._pilot.submit(slot)
        self._upscaled.put(slot)
        return True

    def _give_up(self, slot: Slot) -> None:
        self._drop("late")
        self._free.put(slot)

    def _is_late(self, slot: Slot) -> bool:
        """Whether the picture would come too late. One that has only just come is never late: where it takes longer
        than the latency allows, the newest is still better than none."""
        age = self._clock() - slot.read_at_seconds
        expected = self._pilot.expected_seconds + self._encode_seconds
        return age > max(self._latency_seconds - expected, min(expected, self._latency_seconds))

    def _encode(self) -> None:
        while not (self._no_more.is_set() and self._upscaled.empty()):
            try:
                item = self._upscaled.get(timeout=REPEAT_SECONDS)
            except queue.Empty:
                self._repeat()
                continue
            if isinstance(item, EncodedPacket):
                self._broadcast.sound(item)
            else:
                self._deliver(item)
        self._broadcast.finish()

    def _deliver(self, slot: Slot) -> None:
        assert slot.frame is not None
        self.awaited = slot.frame.index
        slot.wait()
        self.awaited = None
        computed = self._clock()
        tiles, reused = self._pilot.landed(slot)
        self._last_pts = max(slot.frame.pts, self._last_pts + LEAST_STEP)
        self._broadcast.write(slot.host_out, slot.host_in, self._last_pts)
        self._last_left_at_seconds = self._clock()
        self._encode_seconds = _REMEMBER * self._encode_seconds + (1 - _REMEMBER) * (
            self._last_left_at_seconds - computed
        )
        self._meters.went_out(self._last_left_at_seconds - slot.read_at_seconds, tiles, reused)
        with self._last_lock:
            before, self._last = self._last, slot
        if before is not None:
            self._free.put(before)
        self._in_flight.release()

    def _repeat(self) -> None:
        """Send the last picture again, if that is wanted: viewers and recordings go on while the camera is gone."""
        notice = self._standstill()
        if notice is None or self._last is None:
            return
        slot = self._last  # this thread alone replaces it
        result = with_notice(slot.host_out, notice, self._target) if notice else slot.host_out
        # As late as that picture was itself, so that the next new one has its place behind this.
        assert slot.frame is not None
        pts = slot.frame.pts + int((self._clock() - self._last_left_at_seconds) * TICKS_PER_SECOND)
        self._last_pts = max(pts, self._last_pts + LEAST_STEP)
        self._broadcast.write(result, slot.host_in, self._last_pts)
        self._meters.repeated()

    def _drop(self, reason: DropReason) -> None:
        self._meters.dropped(reason)
        self._pilot.dropped()

    def _guarded(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except BaseException as error:  # noqa: BLE001  whoever runs the session raises it in its own thread
            self.fail(error)


def _copies(planes: Planes) -> Planes:
    y, u, v = (plane.copy() for plane in planes)
    return y, u, v
