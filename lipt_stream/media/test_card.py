"""A live source that needs no camera: the moving test pattern, stamped with the time it was made, and a tone."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# PyAV's stubs leave the type parameter of Packet open.
from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet

from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoded import EncodedStream
from lipt_stream.media.live import LiveItem, LivePicture, LiveSound
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.pixels import PictureWriter
from lipt_stream.media.synthetic import SyntheticSource, stamp

_SAMPLE_RATE: Final = 48_000
_TONE_HZ: Final = 440
_LOUDNESS: Final = 0.1  # of full scale
_LATE_SECONDS: Final = 1.0  # after so long a halt the clock is set anew instead of catching up


class TestCard:
    """`address.size` at `address.rate`, paced by the clock. Each picture carries `synthetic.stamp` with its index and
    the moment at which it was made; the sound is a quiet 440 Hz in AAC, one channel at 48 kHz."""

    __test__ = False  # pytest: no class of tests

    def __init__(self, address: LiveAddress, *, cancelled: threading.Event) -> None:
        width, height = address.size
        self.video_format = VideoFormat(width=width, height=height, frame_rate=address.rate)
        self._tone = _Tone()
        self.audio: EncodedStream | None = self._tone.stream
        self.is_finite, self.damaged = False, 0
        self.notes: list[str] = []
        self._period = 1 / address.rate
        self._cancelled = cancelled

    def __iter__(self) -> Iterator[LiveItem]:
        source, planes = SyntheticSource(self.video_format, None), self.video_format.new_planes()
        began, index = time.monotonic(), 0
        while not self._cancelled.is_set():
            due = began + float(index * self._period)
            wait = due - time.monotonic()
            if wait > 0 and self._cancelled.wait(wait):
                return
            if wait < -_LATE_SECONDS:
                began -= wait
            source.read(planes)
            stamp(planes[0], index, time.time(), self.video_format.bit_depth)
            picture = PictureWriter(self.video_format, self.video_format.pix_fmt).fill(planes)
            now = time.monotonic()
            yield LivePicture(picture=picture, time_seconds=index * self._period, arrived_seconds=now)
            yield from self._tone.until(index * self._period, now)
            index += 1

    def close(self) -> None:
        self._cancelled.set()


class _Tone:
    def __init__(self) -> None:
        self._encoder = AudioCodecContext.create("aac", "w")
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = _SAMPLE_RATE, "mono", "fltp"
        self._encoder.bit_rate = 64_000
        self._encoder.open()
        self._samples = 0
        self.stream = EncodedStream(
            kind="audio",
            codec="aac",
            time_base=Fraction(1, _SAMPLE_RATE),
            extradata=self._encoder.extradata or b"",
            sample_rate=_SAMPLE_RATE,
            channels=1,
        )

    def until(self, time_seconds: Fraction, now: float) -> Iterator[LiveSound]:
        """What is to be heard up to `time_seconds`, counted from the beginning."""
        frame_samples = self._encoder.frame_size
        while self._samples < time_seconds * _SAMPLE_RATE:
            phase = np.arange(self._samples, self._samples + frame_samples) * (2 * math.pi * _TONE_HZ / _SAMPLE_RATE)
            frame = AudioFrame.from_ndarray((np.sin(phase) * _LOUDNESS).astype(np.float32)[np.newaxis], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, self._samples, Fraction(1, _SAMPLE_RATE)
            self._samples += frame_samples
            packet: Packet[AudioStream]
            for packet in self._encoder.encode(frame):
                yield LiveSound(
                    data=bytes(packet),
                    time_seconds=Fraction(packet.pts or 0, _SAMPLE_RATE),
                    duration_seconds=Fraction(frame_samples, _SAMPLE_RATE),
                    arrived_seconds=now,
                )
