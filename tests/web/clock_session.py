"""A session for tests of the page: a moving picture with the time of its capture in it, really encoded, 30 a second.

Both sides carry the same time as black and white squares: 16 bits of milliseconds in the left half, where the page
shows the source, and again in the right half. The last rows tell the sides apart: black in the source, white in the
result.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Final

import av
import numpy as np

from lipt_stream.errors import SettingsError
from lipt_stream.frame import Frame, Planes, VideoFormat
from lipt_stream.live.composition import Composition
from lipt_stream.live.control import Stills
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.web.preview import Preview

SCALE: Final = 2
CLOCK_BITS: Final = 16
CELL: Final = 16  # side of a square in the result; the source's are half as large
FPS: Final = 30
SAMPLE_RATE: Final = 48_000

READ_CLOCK: Final = f"""
(count) => new Promise((done) => {{
  const canvas = document.getElementById('screen'), video = document.getElementById('video');
  const context = canvas.getContext('2d'), seen = [];
  const read = (left) => {{
    const {{ data }} = context.getImageData(left, {CELL // 2}, {CELL * CLOCK_BITS}, 1);
    let value = 0;
    for (let bit = 0; bit < {CLOCK_BITS}; bit++) if (data[(bit * {CELL} + {CELL // 2}) * 4] > 128) value |= 1 << bit;
    return value;
  }};
  const look = () => requestAnimationFrame(() => {{
    const time = read(canvas.width / 2);
    seen.push({{ time, age: (Date.now() - time) & 65535, agree: read(0) === time }});
    if (seen.length < count) video.requestVideoFrameCallback(look);
    else done(seen);
  }});
  video.requestVideoFrameCallback(look);
}})"""
"""JavaScript for the page: for `count` pictures how old (ms) each was in the animation frame after it was drawn, which
is when it reaches the screen, and whether both sides told the same time."""


class ClockSession:
    """Controls over a thread that captures, "upscales" (repeats pixels), composes, encodes and offers to `preview`."""

    def __init__(self, preview: Preview, *, width: int = 320, height: int = 180, sound: bool = False) -> None:
        self.preview = preview
        self.models: Sequence[str] = ("auto", "small", "tiny", "nano", "lanczos")
        self.asked: list[tuple[str, object]] = []
        self.frames = 0
        self.encoded = 0
        self.offer_seconds: list[float] = []
        self._rung, self._pinned, self._paused, self._recording = "nano", False, False, False
        self._source = VideoFormat(width=width, height=height, frame_rate=Fraction(FPS))
        self._composition = Composition(self._source, self._source.scaled(SCALE))
        self._encoder = LiveEncoder(self._composition.format, encoder="libx264")
        self._sound = Tone() if sound else None
        self._stills: Stills | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock session")
        preview.composition = self._composition
        preview.open([self._encoder.stream, *([self._sound.stream] if self._sound else [])])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.preview.close(1)

    def _run(self) -> None:
        source = SyntheticSource(self._source, None)
        planes = self._source.new_planes()
        began = time.monotonic()
        while not self._stop.wait(max(0.0, began + self.frames / FPS - time.monotonic())):
            if not self._paused:
                assert isinstance(source.read(planes), Frame)
            stamp_clock(planes, int(time.time() * 1000), CELL // SCALE)
            result = repeated(planes)
            planes[0][-CELL // SCALE :], result[0][-CELL:] = 16, 235
            for chroma in (*planes[1:], *result[1:]):
                chroma[-CELL // 2 :] = 128
            grey = [np.repeat(side[0][..., np.newaxis], 3, axis=2) for side in (planes, result)]
            self._stills = Stills(grey[0], grey[1], SCALE)
            self._offer(planes, result, time.monotonic() - began)
            self.frames += 1

    def _offer(self, source: Planes, result: Planes, seconds: float) -> None:
        if not self.preview.wanted:
            return
        if self.preview.wants_keyframe:
            self._encoder.force_keyframe()
        self.encoded += 1
        packets = self._encoder.encode(
            self._composition.compose(source, result), round(seconds * 90_000), 90_000 // FPS
        )
        packets += self._sound.until(seconds) if self._sound else []
        for packet in packets:
            began = time.perf_counter()
            self.preview.offer(packet)
            self.offer_seconds.append(time.perf_counter() - began)

    def choose_model(self, name: str) -> None:
        if name not in self.models:
            raise SettingsError(f"There is no model '{name}'", "Known: " + ", ".join(self.models))
        self.asked.append(("model", name))
        self._pinned = name != "auto"
        self._rung = name if self._pinned else "nano"

    def pause(self, paused: bool) -> None:
        self.asked.append(("pause", paused))
        self._paused = paused

    def record(self, recording: bool) -> str | None:
        self.asked.append(("record", recording))
        self._recording = recording
        return "out/live.mkv" if recording else None

    def stills(self) -> Stills | None:
        return self._stills

    def stats(self) -> Mapping[str, object]:
        now = time.time()
        return {
            "time": now,
            "state": "live",
            "fps_in": 30.0,
            "fps_out": 29.9 + 0.3 * np.sin(now / 7).item(),
            "fps_target": 30.0,
            "latency_p50_ms": 62 + 9 * np.sin(now / 11).item(),
            "latency_p95_ms": 98 + 14 * np.sin(now / 5).item(),
            "latency_p99_ms": 131.0,
            "dropped": 15,
            "dropped_by_reason": {"late": 12, "overtaken": 3},
            "frames_in": 18_000,
            "frames_out": 17_985,
            "frames_damaged": 0,
            "sounds_dropped": 0,
            "rung": self._rung,
            "rung_reason": "p95 of tiny was 38 ms of 33 ms",
            "pinned": self._pinned,
            "paused": self._paused,
            "recording": "out/live.mkv" if self._recording else None,
            "reused": 0.42,
            "rss_mb": 611.5,
            "source": {"name": "test:320x180@30", "state": "live", "detail": "", "faults": 1, "reconnects": 1},
            "sinks": [asdict(self.preview.status())],
            "gpu": None,
        }


def repeated(planes: Planes) -> Planes:
    y, u, v = (plane.repeat(SCALE, axis=0).repeat(SCALE, axis=1) for plane in planes)
    return y, u, v


def stamp_clock(planes: Planes, milliseconds: int, cell: int) -> None:
    """Draws the low bits of `milliseconds` at the top of both halves, the lowest first, without colour."""
    luma = planes[0]
    for left in (0, luma.shape[1] // 2):
        for bit in range(CLOCK_BITS):
            luma[:cell, left + bit * cell : left + (bit + 1) * cell] = 235 if milliseconds >> bit & 1 else 16
    for chroma in planes[1:]:
        chroma[: cell // 2] = 128


class Tone:
    """A quiet tone, encoded to AAC as far as it is asked for."""

    def __init__(self) -> None:
        self._context = av.CodecContext.create("aac", "w")
        self._context.sample_rate, self._context.layout, self._context.format = SAMPLE_RATE, "stereo", "fltp"
        self._context.time_base = Fraction(1, SAMPLE_RATE)
        self._context.open()
        self._samples = 0
        self.stream = EncodedStream(
            kind="audio",
            codec="aac",
            time_base=Fraction(1, SAMPLE_RATE),
            extradata=bytes(self._context.extradata or b""),
            sample_rate=SAMPLE_RATE,
            channels=2,
        )

    def until(self, seconds: float) -> list[EncodedPacket]:
        packets: list[EncodedPacket] = []
        if seconds * SAMPLE_RATE - self._samples > SAMPLE_RATE:  # no one was watching
            self._samples = int(seconds * SAMPLE_RATE)
        while self._samples < seconds * SAMPLE_RATE:
            phase = (np.arange(1024) + self._samples) * (2 * np.pi * 440 / SAMPLE_RATE)
            frame = av.AudioFrame.from_ndarray(
                np.tile(0.05 * np.sin(phase), (2, 1)).astype(np.float32), "fltp", "stereo"
            )
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._samples, Fraction(1, SAMPLE_RATE)
            self._samples += 1024
            for packet in self._context.encode(frame):
                pts, duration = int(packet.pts or 0), packet.duration or 1024
                packets.append(
                    EncodedPacket(
                        kind="audio", data=bytes(packet), pts=pts, dts=pts, duration=duration, is_keyframe=True
                    )
                )
        return packets
