"""The sink that browsers watch: fragmented MP4 for Media Source Extensions, one queue for each viewer."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from lipt_stream.live.composition import Composition
from lipt_stream.live.sink import SinkState, SinkStatus
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.fragments import FragmentMuxer
from lipt_stream.web.viewer import Item, Viewer

_SOUND_IN_BROWSERS: Final = {"aac", "opus"}
_MOST_INBOX: Final = 150  # packets on their way to the server's thread
_STATED_SECONDS: Final = 0.5  # how long a picture lasts, as browsers are told: see Feed
_SECONDS_BETWEEN_KEYFRAMES: Final = 0.3  # asked for; however many come and go
_SECONDS_UNTIL_SILENT: Final = 2.0  # of pictures without a packet of sound among them


class Feed:
    """The fragments of one choice of streams, for those who watch it. Used in the server's thread alone.

    Every picture is stated to last half a second. The next one cuts it short; where that one comes late or was dropped,
    the browser's clock runs on. With true durations it would stop at every late picture, and after two that are missing
    drop all that follow until a keyframe (Media Source Extensions, coded frame processing: a gap is more than twice
    the last duration).
    """

    def __init__(self, streams: Sequence[EncodedStream], composition: Composition, sound_available: bool) -> None:
        self._kinds = {stream.kind for stream in streams}
        self._muxer = FragmentMuxer(streams)
        self._stated_duration = round(_STATED_SECONDS / streams[0].time_base)
        self._last_dts = 0
        picture = {
            "type": "picture",
            "mime": self._muxer.mime,
            "result": asdict(composition.result),
            "source": asdict(composition.source),
            "scale": composition.scale,
            "sample_aspect_ratio": float(composition.sample_aspect_ratio),
            "rotation": composition.rotation,
            # Where the newest picture begins, before the end of what is buffered. Sound ends where it ends.
            "tail_seconds": 0.0 if "audio" in self._kinds else _STATED_SECONDS,
            "sound": "audio" in self._kinds,
            "sound_available": sound_available,
        }
        self._opening = (Item(json.dumps(picture)), Item(self._muxer.init))

    def add(self, packet: EncodedPacket, viewers: Sequence[Viewer]) -> None:
        if not viewers or packet.kind not in self._kinds:
            return
        is_picture = packet.kind == "video"
        if is_picture:
            self._mind_gap(packet, viewers)
            packet = replace(packet, duration=self._stated_duration)
        fragment = self._muxer.add(packet)
        if not fragment:  # from before the session's beginning
            return
        for viewer in viewers:
            viewer.put(Item(fragment, is_picture), is_picture and packet.is_keyframe, self._opening)

    def _mind_gap(self, packet: EncodedPacket, viewers: Sequence[Viewer]) -> None:
        """Browsers drop what follows a gap until a keyframe: so let them ask for one."""
        if packet.dts - self._last_dts > 2 * self._stated_duration and not packet.is_keyframe:
            for viewer in viewers:
                viewer.restart()
        self._last_dts = packet.dts


class _Silence:
    """Whether pictures come and their sound does not: while the camera is gone, or once it is back without. A browser
    shows no picture that is later than its sound. Used in the server's thread alone."""

    def __init__(self, longest_ticks: float) -> None:
        """`longest_ticks`: of the pictures' time base."""
        self.lasts = False
        self._longest_ticks = longest_ticks
        self._heard = True  # since the last picture
        self._heard_at = 0  # the picture before which sound last came

    def changes_with(self, packet: EncodedPacket) -> bool:
        """Takes in the next packet; whether silence begins or ends with it."""
        lasts = False
        if packet.kind == "audio":
            self._heard = True
        else:
            self._heard_at = packet.dts if self._heard else self._heard_at
            self._heard = False
            lasts = packet.dts - self._heard_at > self._longest_ticks
        has_changed, self.lasts = lasts != self.lasts, lasts
        return has_changed

    def nobody_listens(self) -> None:
        """What comes next is not compared with what was offered before."""
        self._heard = True


class Preview:
    """A LiveSink (and PreviewSink). `open`, `offer` and `close` are the session's, `join` and `leave` the server's.

    `offer` hands a packet to the server's thread and returns; muxing and sending happen there, so that neither a slow
    viewer nor many of them take time from the session. Pictures are counted per viewer: delivered to a connection, or
    dropped for one that was too slow. What is offered while nobody watches is nobody's loss and not counted.
    """

    def __init__(self) -> None:
        self.composition: Composition | None = None
        self._feeds: tuple[Feed, ...] = ()  # without sound, and with it where there is any
        self._silence = _Silence(0)
        self._note = ""
        self._viewers: tuple[Viewer, ...] = ()  # replaced, never changed: other threads read it
        self._left = (0, 0)  # delivered to and dropped for viewers that have left
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._inbox: deque[EncodedPacket] = deque()
        self._passing_over = False  # the inbox was full: everything until the next keyframe is dropped
        self._overflowed = 0
        self._closed = False
        self._last_keyframe_seconds = -1.0

    @property
    def wanted(self) -> bool:
        return bool(self._viewers) and not self._closed

    @property
    def wants_keyframe(self) -> bool:
        waiting = self._passing_over or any(viewer.wants_keyframe for viewer in self._viewers)
        return waiting and time.monotonic() - self._last_keyframe_seconds > _SECONDS_BETWEEN_KEYFRAMES

    @property
    def viewers(self) -> tuple[Viewer, ...]:
        """Those who watch, in the order in which they came."""
        return self._viewers

    def open(self, streams: Sequence[EncodedStream]) -> None:
        if self.composition is None:
            raise ValueError("what the preview's pictures are composed of must be known before it is opened")
        picture, *sound = streams
        playable = [stream for stream in sound if stream.codec in _SOUND_IN_BROWSERS]
        if sound and not playable:
            self._note = f"no sound: browsers do not play {sound[0].codec}"
        choices = [[picture], [picture, *playable]] if playable else [[picture]]
        self._silence = _Silence(_SECONDS_UNTIL_SILENT / picture.time_base)
        self._feeds = tuple(Feed(choice, self.composition, bool(playable)) for choice in choices)

    def offer(self, packet: EncodedPacket) -> None:
        with self._lock:
            if self._loop is None or not self.wanted:
                return
            is_keyframe = packet.kind == "video" and packet.is_keyframe
            if len(self._inbox) >= _MOST_INBOX:
                self._passing_over = True
            elif is_keyframe:
                self._passing_over = False
            if self._passing_over:
                self._overflowed += packet.kind == "video"
                return
            if is_keyframe:
                self._last_keyframe_seconds = time.monotonic()
            self._inbox.append(packet)
            if len(self._inbox) == 1:  # else the server's thread was already told
                self._loop.call_soon_threadsafe(self._distribute)

    def status(self) -> SinkStatus:
        with self._lock:  # a viewer that leaves meanwhile is among those that watch or those that left, never neither
            viewers, (delivered, dropped), overflowed = self._viewers, self._left, self._overflowed
        delivered += sum(viewer.delivered for viewer in viewers)
        dropped += sum(viewer.dropped for viewer in viewers) + overflowed
        watching = {0: "nobody is watching", 1: "1 viewer"}.get(len(viewers), f"{len(viewers)} viewers")
        state: SinkState = "closed" if self._closed else "ok" if delivered else "starting"
        return SinkStatus(
            name="preview",
            state=state,
            delivered=delivered,
            dropped=dropped,
            restarts=0,
            detail=f"{watching}, {self._note}" if self._note else watching,
        )

    def close(self, timeout_seconds: float) -> None:  # noqa: ARG002  nothing is waited for
        with self._lock:
            self._closed = True
            self._inbox.clear()
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._dismiss)

    def join(self) -> Viewer:
        """A viewer has come, in the running loop."""
        viewer = Viewer()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            if self._closed:
                viewer.close()
            self._viewers = (*self._viewers, viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """It is gone, and what was queued for it is lost."""
        viewer.restart()
        with self._lock:
            self._viewers = tuple(other for other in self._viewers if other is not viewer)
            delivered, dropped = self._left
            self._left = delivered + viewer.delivered, dropped + viewer.dropped
        if not self._viewers:
            self._silence.nobody_listens()

    def _distribute(self) -> None:
        with self._lock:
            packets = tuple(self._inbox)
            self._inbox.clear()
        for packet in packets:
            self._mind_silence(packet)
            for feed in self._feeds:
                feed.add(packet, [viewer for viewer in self._viewers if self._feed_of(viewer) is feed])

    def _mind_silence(self, packet: EncodedPacket) -> None:
        if self._silence.changes_with(packet):
            for viewer in self._viewers:
                if viewer.with_sound:
                    viewer.restart()

    def _feed_of(self, viewer: Viewer) -> Feed:
        return self._feeds[-1 if viewer.with_sound and not self._silence.lasts else 0]

    def _dismiss(self) -> None:
        for viewer in self._viewers:
            viewer.close()
