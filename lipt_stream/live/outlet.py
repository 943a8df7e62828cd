"""A live sink whose packets go to a muxing process: bounded, restarted, and never a burden to whoever feeds it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from lipt_stream.frame import END
from lipt_stream.live.backoff import Backoff
from lipt_stream.live.mux_process import MuxProcess, SinkTrouble
from lipt_stream.live.null_sink import NullSink
from lipt_stream.live.packet_queue import PacketQueue
from lipt_stream.live.sink import LiveSink, SinkState, SinkStatus
from lipt_stream.live.targets import Target
from lipt_stream.media.encoded import EncodedPacket, EncodedStream, Kind
from lipt_stream.media.mux_wire import MuxJob, Report
from lipt_stream.media.redact import redact

_QUEUE_BYTES: Final = 64 * 2**20
_LISTEN_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
_STEADY_SECONDS: Final = 10  # a process that lived so long failed for a new reason: the pauses begin anew
_REAP_SECONDS: Final = 0.5  # of the time to close, kept for a process that has to be killed


def make_sink(target: Target) -> LiveSink:
    """The sink that `target` (not a preview) asks for."""
    return NullSink(target.name) if target.kind == "null" else Outlet(target)


class Outlet:
    """Implements LiveSink for a target with a container.

    A thread feeds a process (media/mux_child.py) from a bounded queue. Whatever fails there ends the process; another
    one is begun after a pause of 0.5 to 8 s that grows and is jittered, and fed from a keyframe on: for a file, which
    then has a new name, the oldest that waits, else the newest. What can never work is not tried again; what has worked
    once is, whatever is said: a disk that is pulled out and put back looks in between as if its folder did not exist.
    A sink that is in trouble at the end has failed where it is a file, whose last part is then missing, or where
    nothing ever came through.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._kinds: set[Kind] = set()  # of the packets that are taken
        self._queue: PacketQueue | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()  # guards all that follows
        self._process: MuxProcess | None = None
        self._is_given_up = False
        self._ended: SinkState | None = None
        self._sound_note = ""
        self._is_broken = False  # the process that is there: one that hangs in a disk cannot be killed at once
        self._trouble = ""  # of the last process that failed, until the end of one that did not
        self._last_trouble = ""
        self._last_report = Report()
        self._delivered = 0  # by processes that are gone
        self._lost = 0  # went down their pipes and no further
        self._restarts = 0

    def open(self, streams: Sequence[EncodedStream]) -> None:
        picture, *sounds = streams
        if (picture.codec == "rawvideo") != self._target.takes_raw_pictures:
            raise ValueError(f"{self._target.name} takes no pictures of codec {picture.codec}")
        fitting = [sound for sound in sounds if self._holds(sound)]
        if len(fitting) < len(sounds):
            self._sound_note = f"without sound: {self._target.kind} takes no {sounds[0].codec}"
        taken = (picture, *fitting)
        self._kinds = {stream.kind for stream in taken}
        self._queue = PacketQueue(
            seconds=self._target.queue_seconds, size_bytes=_QUEUE_BYTES, time_base=picture.time_base
        )
        work = (self._queue, self._target.job(taken))
        self._thread = threading.Thread(target=self._work, args=work, name=f"sink {self._target.name}", daemon=True)
        self._thread.start()

    def _holds(self, sound: EncodedStream) -> bool:
        is_described = sound.codec != "aac" or sound.extradata  # AAC with headers of its own is for LiveSound
        return sound.codec in self._target.sound and bool(is_described)

    def offer(self, packet: EncodedPacket) -> None:
        if self._queue and packet.kind in self._kinds:
            self._queue.offer(packet)

    @property
    def wants_keyframe(self) -> bool:
        """Not while nobody would get it: its process is gone, or has no connection yet."""
        with self._lock:
            is_open = self._process is not None and self._process.report.is_open and not self._is_broken
        return is_open and self._queue is not None and self._queue.waits_for_keyframe

    def status(self) -> SinkStatus:
        with self._lock:
            report = self._process.report if self._process else Report()
            state: SinkState = "retrying" if self._trouble else "starting"
            if report.written and not self._is_broken:
                state = "ok"
            state = self._ended or state
            is_well = state == "ok" or (state == "closed" and not self._trouble)
            return SinkStatus(
                name=self._target.name,
                state=state,
                delivered=self._delivered + report.written,
                dropped=self._lost + (self._queue.dropped if self._queue else 0),
                restarts=self._restarts,
                detail=self._notes() if is_well else self._trouble,
                last_trouble=self._last_trouble,
            )

    def _notes(self) -> str:
        report = self._process.report if self._process else self._last_report
        refusal = "without sound: the server refuses it" if report.is_silent else ""
        return "; ".join(filter(None, [report.path, self._sound_note or refusal]))

    def close(self, timeout_seconds: float) -> None:
        self._closing.set()
        if self._queue is None or self._thread is None:
            return
        self._queue.close()
        reap_seconds = min(_REAP_SECONDS, timeout_seconds / 2)
        self._thread.join(timeout_seconds - reap_seconds)
        if self._thread.is_alive():
            with self._lock:
                self._is_given_up = True
                if self._process:
                    self._process.kill()
            self._thread.join(reap_seconds)
        if self._thread.is_alive():
            with self._lock:
                self._trouble = self._trouble or "It did not end in time, and cannot be killed"
                self._ended = "failed"

    def _work(self, queue: PacketQueue, job: MuxJob) -> None:
        """One process after the other, until there is no more to do."""
        ended: SinkState = "failed"
        try:
            backoff = Backoff()
            while True:
                began = time.monotonic()
                trouble = self._serve(queue, job)
                if time.monotonic() - began > _STEADY_SECONDS:
                    backoff.reset()
                if trouble and trouble.is_hopeless and not self._delivered:
                    return
                if trouble is None and not self._closing.is_set():  # its time was over, not ours
                    continue
                if trouble is None or self._closing.wait(backoff.next(_LONGEST_PAUSE_SECONDS)):
                    is_lost = self._trouble and (job.place == "file" or not self._delivered)
                    ended = "failed" if is_lost else "closed"
                    return
                with self._lock:
                    self._restarts += 1
        finally:
            queue.close(drop=True)
            with self._lock:
                self._ended = ended

    def _serve(self, queue: PacketQueue, job: MuxJob) -> SinkTrouble | None:
        """One process, from its beginning to its end. Returns why it failed, None where it was to end."""
        process: MuxProcess | None = None
        try:
            process = self._begin(job)
            with process:
                try:
                    self._feed(process, queue, is_network=job.place == "network", is_file=job.place == "file")
                except SinkTrouble as trouble:
                    self._note(trouble)  # now: leaving the process waits for its end
                    raise
            with self._lock:
                self._trouble = "" if process.report.written else self._trouble
            return None
        except SinkTrouble as trouble:
            self._note(trouble)
            return trouble
        finally:
            with self._lock:
                self._process, self._is_broken = None, False
                if process:
                    self._last_report = process.report
                    self._delivered += process.report.written
                    self._lost += process.sent - process.report.written

    def _note(self, trouble: SinkTrouble) -> None:
        with self._lock:
            self._is_broken = True
            killed = "It did not end in time and was killed"
            self._trouble = killed if self._is_given_up else redact(trouble.message)
            self._last_trouble = self._trouble

    def _begin(self, job: MuxJob) -> MuxProcess:
        process = MuxProcess(job)
        with self._lock:
            self._process = process
            if self._is_given_up:
                process.kill()
        return process

    def _feed(self, process: MuxProcess, queue: PacketQueue, *, is_network: bool, is_file: bool) -> None:
        process.begin()
        while not process.report.is_open:
            if is_network and self._closing.is_set():
                return  # no one is there to whom an end could be told
            process.listen(_LISTEN_SECONDS)
        queue.start_anew(at_newest=not is_file)
        until = time.monotonic() + self._target.longest_seconds
        while time.monotonic() < until and (packet := queue.take(_LISTEN_SECONDS)) is not END:
            if packet:
                process.send(packet)
            else:
                process.listen()
        process.finish()
