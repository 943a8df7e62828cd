"""Finished pictures, encoded once for all sinks that take packets, and once more for the page while someone watches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.live.composition import Composition
from lipt_stream.live.preview import PreviewSink
from lipt_stream.live.sink import LiveSink, SinkStatus
from lipt_stream.live.spec import LiveSpec
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.live_sound import LiveSound
from lipt_stream.media.raw_pictures import RawPictures

CLOSE_SECONDS: Final = 1.5
"""What all sinks together may take to end: a session ends within 3 s of being told to."""


class Broadcast:
    """Pictures and sound to every sink. `write`, `sound` and `finish` are called by one thread, the rest by any.

    A sink may join while the session runs (a recording): it gets its first packet at the next keyframe.
    """

    def __init__(
        self,
        source: VideoFormat,
        target: VideoFormat,
        sound: LiveSound | None,
        preview: PreviewSink | None,
        spec: LiveSpec,
        *,
        is_baseline: bool = False,
    ) -> None:
        """`is_baseline`: some sink takes H.264's baseline profile alone, and so all get it.

        Raises SettingsError for an encoder or its options, OutputError for a size that it cannot hold.
        """
        self._target, self._spec = target, spec
        self._live_sound = sound
        self._sound = [sound.stream] if sound else []
        self._lock = threading.Lock()  # of who adds, removes, or needs all; the tuples are replaced, never changed
        self._sinks: tuple[LiveSink, ...] = ()
        self._raw_sinks: tuple[LiveSink, ...] = ()
        self._leaving: tuple[LiveSink, ...] = ()  # they get no more, and have still to write
        self._encoder = self._new_encoder(target, is_baseline=is_baseline)
        self._raw = RawPictures(target)
        self._preview = preview
        if preview is not None:
            self._composition = Composition(source, target)
            self._pair_encoder = self._new_encoder(self._composition.format)
            preview.composition = self._composition
            preview.open([self._pair_encoder.stream, *self._sound])

    @property
    def encoder_name(self) -> str:
        return self._encoder.encoder

    @property
    def sounds_lost(self) -> int:
        """Packets of sound that were damaged, or of another kind than the stream."""
        return self._live_sound.lost_packets if self._live_sound else 0

    @property
    def sound_has_changed(self) -> bool:
        """Whether packets of another kind came, such as of more channels: they are among those lost."""
        return self._live_sound is not None and self._live_sound.has_changed

    def add(self, sink: LiveSink, *, raw: bool = False) -> None:
        """Open `sink` and send it all that comes from now on. `raw`: it takes pictures that are not encoded."""
        sink.open([self._raw.stream if raw else self._encoder.stream, *self._sound])
        with self._lock:
            if raw:
                self._raw_sinks = (*self._raw_sinks, sink)
            else:
                self._sinks = (*self._sinks, sink)
        self._encoder.force_keyframe()

    def remove(self, sink: LiveSink, timeout_seconds: float, ended: Callable[[SinkStatus], None]) -> None:
        """Send `sink`, which takes encoded pictures, no more, and close it: in a thread of its own, because what it has
        still to write may take that long. `ended` is told by it how that went."""
        with self._lock:
            self._sinks = tuple(other for other in self._sinks if other is not sink)
            self._leaving = (*self._leaving, sink)

        def close() -> None:
            sink.close(timeout_seconds)
            status = sink.status()
            if status.state != "failed":  # else it is told at the end as well
                with self._lock:
                    self._leaving = tuple(other for other in self._leaving if other is not sink)
            ended(status)

        threading.Thread(target=close, name="lipt-live-leaving", daemon=True).start()

    def write(self, result: Planes, source: Planes, pts: int, duration: int = 0) -> None:
        """One picture of the target's format and the one that it was made from. `pts`, in 1/90000 s, increases
        strictly. Raises OutputError where an encoder fails."""
        if self._sinks:
            if any(sink.wants_keyframe for sink in self._sinks):
                self._encoder.force_keyframe()
            _hand_out(self._encoder.encode(result, pts, duration), self._sinks)
        if self._raw_sinks:
            _hand_out(self._raw.encode(result, pts, duration), self._raw_sinks)
        if self._preview is not None and self._preview.wanted:
            if self._preview.wants_keyframe:
                self._pair_encoder.force_keyframe()
            for packet in self._pair_encoder.encode(self._composition.compose(source, result), pts, duration):
                self._preview.offer(packet)

    def sound(self, packet: EncodedPacket) -> None:
        """One packet of the source's sound."""
        packets = self._live_sound.convert(packet) if self._live_sound else []
        _hand_out(packets, (*self._sinks, *self._raw_sinks))
        if self._preview is not None and self._preview.wanted:
            _hand_out(packets, [self._preview])

    def statuses(self) -> list[SinkStatus]:
        return [sink.status() for sink in self._all()]

    def finish(self) -> None:
        """After the last picture, by the thread that wrote it: what the encoder still holds."""
        _hand_out(self._encoder.finish(), self._sinks)

    def close(self) -> None:
        """End every sink, all at once: a slow one takes no time from another."""
        until = time.monotonic() + CLOSE_SECONDS
        threads = [threading.Thread(target=sink.close, args=(CLOSE_SECONDS,), daemon=True) for sink in self._all()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, until + 0.3 - time.monotonic()))

    def _all(self) -> list[LiveSink]:
        previews = [self._preview] if self._preview is not None else []
        with self._lock:  # of the moment: a sink that is just leaving is in one of them, and in no two
            return [*previews, *self._sinks, *self._raw_sinks, *self._leaving]

    def _new_encoder(self, format: VideoFormat, *, is_baseline: bool = False) -> LiveEncoder:
        bitrate = self._spec.bitrate_kbps
        return LiveEncoder(
            format,
            encoder=self._spec.encoder,
            crf=self._spec.crf,
            bitrate=1000 * bitrate if bitrate else None,
            keyframe_seconds=self._spec.keyframe_seconds,
            is_baseline=is_baseline,
        )


def _hand_out(packets: Sequence[EncodedPacket], sinks: Sequence[LiveSink]) -> None:
    for sink in sinks:
        for packet in packets:
            sink.offer(packet)
