"""Keeps a live source flowing: connects, watches, lets go of what hangs, and comes back."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias

from lipt_stream.errors import AbsentError, AddressError, BusyError, InputError, LiptError
from lipt_stream.frame import End, VideoFormat
from lipt_stream.live.backoff import Backoff
from lipt_stream.live.connection import Connection
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live import LivePicture, LiveSound, LiveSource, PassedOver, SessionPicture
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.live_clock import LiveClock
from lipt_stream.media.live_input import open_live

FeedState: TypeAlias = Literal["connecting", "live", "gone", "ended", "failed"]
"""`connecting`: the first attempt is under way. `gone`: it failed or broke off, and comes back when it can.
`ended`: a file is over, or the feed was stopped. `failed`: it cannot be had, or `retries` are used up."""

_OPEN_SECONDS: Final = 5.0  # for each of FFmpeg's two steps: connecting, and probing
_CONNECT_SECONDS: Final = 15.0  # from the first attempt to the first picture; cameras send a keyframe every 1 to 10 s
_ABSENT_SECONDS: Final = 2.0  # between attempts at most, where nobody answers: nobody is burdened by being asked
_REFUSED_SECONDS: Final = 3.0  # and where somebody answers, but with an error: its pictures are to flow within 5 s
_MOST_HANGING: Final = 3  # connections that hang in FFmpeg, before no new one is begun
_ROOM_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedStatus:
    """How a source does. `shown` and `last_fault`, one line or "", hold no credentials.

    `video_format` and `audio` are those of the newest connection, None before the first. `faults` counts connections
    that failed or broke off, `reconnects` those that gave pictures after the first had. `damaged` counts packets that
    gave no picture and repaired pictures, `sounds_dropped` packets of sound that could not be in step. `hanging` are
    the connections that were let go and still hang in FFmpeg.
    """

    shown: str
    state: FeedState = "connecting"
    seconds_in_state: float = 0.0
    faults: int = 0
    reconnects: int = 0
    last_fault: str = ""
    damaged: int = 0
    sounds_dropped: int = 0
    hanging: int = 0
    notes: tuple[str, ...] = ()
    video_format: VideoFormat | None = None
    audio: EncodedStream | None = None


class _Opener(Protocol):
    def __call__(
        self,
        address: LiveAddress,
        *,
        open_timeout_seconds: float,
        read_timeout_seconds: float,
        cancelled: threading.Event,
    ) -> LiveSource: ...


class Feed:
    """Pictures and sound of one source on the session's clock, connection after connection.

    No picture for `stall_seconds`, not even one to be passed over, is a fault, whatever FFmpeg says; so are any error,
    and an end, except that of a file that does not loop, which is the end of all. After a fault comes the next attempt:
    after 0.5 s, then up to twice as long each time, 2 s at most where nobody answers and 3 s where an error is
    answered; for ever, or until `retries` attempts in a row gave no picture. A connection that hangs is let go: what it
    gives later is never seen.

    As long as there was no picture yet, an address that is wrong as it is written ends the feed at once: a password
    refused (401, 403), nothing under the path (404), no host of that name, no such device or a busy one, no video in
    it. A camera that is merely off (refused, no route, no answer, a server's own error) is waited for. Once pictures
    have flowed the address is right, and everything is waited for. The faults of a film, which has an end of its own,
    always end it: it would begin anew.

    `on_picture`, `on_sound`, `on_state` and, for each picture that is left undecoded, `on_passed_over` are called by
    the feed's own thread, one at a time, and must return at once. Sound is of the stream `audio` of the newest state,
    and on its time base. Sizes, formats and codecs may change with each connection, sizes and pixel formats with each
    picture.
    """

    def __init__(
        self,
        address: LiveAddress,
        *,
        stall_seconds: float = 3.0,
        retries: int | None = None,
        on_picture: Callable[[SessionPicture], None],
        on_sound: Callable[[EncodedPacket], None],
        on_state: Callable[[FeedStatus], None],
        on_passed_over: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        open_source: _Opener = open_live,
    ) -> None:
        """`clock` and `pause` (which waits the given seconds) are those of the back-off and the watchdog."""
        self._address, self._stall_seconds, self._retries = address, stall_seconds, retries
        self._on_picture, self._on_sound, self._on_state = on_picture, on_sound, on_state
        self._on_passed_over = on_passed_over
        self._stopping = threading.Event()
        self._clock, self._pause = clock, pause or self._stopping.wait
        self._open_source = open_source
        self._backoff = Backoff()
        self._failures_in_a_row = 0
        self._connection: Connection | None = None
        self._left: list[Connection] = []
        self._source: LiveSource | None = None
        self._is_film = address.kind == "file"  # or, as the connection tells, one that comes over HTTP
        self._session_clock = LiveClock(time.monotonic())
        self._status = FeedStatus(shown=address.shown)
        self._entered_at_seconds = clock()
        self._thread = threading.Thread(target=self._run, name="lipt-live-feed", daemon=True)

    def start(self, began_seconds: float | None = None) -> None:
        """`began_seconds`: the session's second 0 on the monotonic clock; when the feed was made, unless given."""
        if began_seconds is not None:
            self._session_clock = LiveClock(began_seconds)
        self._thread.start()

    def status(self) -> FeedStatus:
        """From any thread, at once."""
        return dataclasses.replace(
            self._counted(),
            seconds_in_state=max(0.0, self._clock() - self._entered_at_seconds),
            sounds_dropped=self._session_clock.sounds_dropped,
            hanging=sum(connection.is_alive for connection in tuple(self._left)),
        )

    def _counted(self) -> FeedStatus:
        """What is known, and what the newest connection adds to it."""
        status, source = self._status, self._source
        if source is None:
            return status
        notes = tuple(dict.fromkeys((*status.notes, *source.notes)))
        return dataclasses.replace(status, damaged=status.damaged + source.damaged, notes=notes)

    def stop(self, timeout_seconds: float) -> None:
        """Ends the feed; no callback comes afterwards, unless one does not return in time. May be called twice."""
        deadline = time.monotonic() + timeout_seconds
        self._stopping.set()
        connection = self._connection
        if connection:
            connection.leave()
        if self._thread.ident is None or threading.current_thread() is self._thread:
            return
        self._thread.join(timeout_seconds)
        if connection:
            connection.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            self._enter("connecting")
            while not self._stopping.is_set():
                try:
                    self._follow()
                    break
                except InputError as fault:
                    if not self._comes_back_after(self._explained(fault)):
                        return
        except BaseException as error:
            known = isinstance(error, LiptError)
            self._enter(
                "failed", last_fault=str(error) if known else f"{type(error).__name__}: a defect in lipt-stream"
            )
            raise error from None  # what it came of may be an error of FFmpeg's, which holds the address
        self._enter("ended")

    def _follow(self) -> None:
        """One connection, to the end of the film or until the feed is stopped. Raises InputError for a fault."""
        self._connection = connection = Connection(self._open)
        try:
            self._deliver(connection)
        finally:
            connection.leave()
            self._left = [former for former in (*self._left, connection) if former.is_alive]
            self._status = self._counted()
            self._source = None

    def _open(self, cancelled: threading.Event) -> LiveSource:
        return self._open_source(
            self._address,
            open_timeout_seconds=_OPEN_SECONDS,
            read_timeout_seconds=self._stall_seconds,
            cancelled=cancelled,
        )

    def _deliver(self, connection: Connection) -> None:
        self._session_clock.reconnected()
        deadline = self._clock() + _CONNECT_SECONDS
        while not self._stopping.is_set():
            # A film may stand still for as long as it likes.
            given = connection.next(None if self._is_film else deadline - self._clock())
            if isinstance(given, LivePicture):
                deadline = self._clock() + self._stall_seconds
                self._hand_on_picture(given)
            elif isinstance(given, PassedOver):
                deadline = self._clock() + self._stall_seconds
                self._on_passed_over()
            elif isinstance(given, LiveSound):
                self._hand_on_sound(given)
            elif isinstance(given, End):
                if self._is_film:
                    return
                raise AbsentError(f"{self._address.shown} ended the stream")
            elif given is not None:
                self._begin(given)
            elif not self._is_film and self._clock() >= deadline and not self._stopping.is_set():
                seconds = self._stall_seconds if self._source else _CONNECT_SECONDS
                raise AbsentError(f"No picture came from {self._address.shown} for {seconds:g} s")

    def _begin(self, source: LiveSource) -> None:
        """Its first picture is there, and comes next."""
        is_first = self._status.video_format is None
        self._source = source
        self._is_film = source.is_finite
        self._backoff.reset()
        self._failures_in_a_row = 0
        self._enter(
            "live",
            video_format=source.video_format,
            audio=source.audio,
            reconnects=self._status.reconnects + (not is_first),
        )

    def _hand_on_picture(self, live: LivePicture) -> None:
        pts = self._session_clock.picture(live.time_seconds, live.arrived_seconds)
        self._on_picture(SessionPicture(picture=live.picture, pts=pts, arrived_seconds=live.arrived_seconds))

    def _hand_on_sound(self, live: LiveSound) -> None:
        audio = self._status.audio
        assert audio is not None, "a source without an audio stream gives no sound"
        pts = self._session_clock.sound(live.time_seconds, live.duration_seconds, live.arrived_seconds, audio.time_base)
        if pts is not None:
            duration = round(live.duration_seconds / audio.time_base)
            self._on_sound(
                EncodedPacket(kind="audio", data=live.data, pts=pts, dts=pts, duration=duration, is_keyframe=True)
            )

    def _explained(self, fault: InputError) -> InputError:
        """A camera that hangs keeps the thread that reads it, and that the device: no other program is to blame."""
        if not isinstance(fault, BusyError) or not self.status().hanging:
            return fault
        return AbsentError(
            f"Cannot read {self._address.shown}: it hangs, and holds our own connection of before",
            "Unplug the camera, and plug it in again.",
        )

    def _comes_back_after(self, fault: InputError) -> bool:
        """Notes the fault, and waits for the next attempt unless there is none."""
        self._failures_in_a_row += 1
        is_wrong = isinstance(fault, AddressError) and self._status.video_format is None
        is_given_up = self._retries is not None and self._failures_in_a_row > self._retries
        is_final = is_wrong or is_given_up or self._is_film
        self._enter("failed" if is_final else "gone", faults=self._status.faults + 1, last_fault=str(fault))
        if is_final:
            return False
        self._pause(self._backoff.next(_ABSENT_SECONDS if isinstance(fault, AbsentError) else _REFUSED_SECONDS))
        while not self._stopping.is_set() and self.status().hanging >= _MOST_HANGING:
            self._pause(_ROOM_SECONDS)
        return True

    def _enter(self, state: FeedState, **changes: Any) -> None:
        if state != self._status.state:
            self._entered_at_seconds = self._clock()
        self._status = dataclasses.replace(self._status, state=state, **changes)
        self._on_state(self.status())
