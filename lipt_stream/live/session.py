"""A live session, whole: a source that may come and go, and what is done with it, said of it and asked of it."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lipt_stream.engine.upscaler import pick_device
from lipt_stream.errors import InputError, SettingsError
from lipt_stream.frame import VideoFormat
from lipt_stream.live.control import Stills
from lipt_stream.live.feed import Feed, FeedStatus
from lipt_stream.live.ladder import Step
from lipt_stream.live.outlet import make_sink
from lipt_stream.live.preview import PreviewSink
from lipt_stream.live.report import LiveReport
from lipt_stream.live.rungs import Rungs
from lipt_stream.live.sink import LiveSink
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.stats import LiveMeters
from lipt_stream.live.stills import as_stills
from lipt_stream.live.targets import Target, parse_target
from lipt_stream.live.works import Works, live_format
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live import SessionPicture
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.live_input import open_live
from lipt_stream.observe.gpu import GpuMonitor
from lipt_stream.observe.process import peak_rss_mb, rss_mb

STATS_SECONDS: Final = 1.0


class LiveSession:
    """Implements `control.Controls`. `run` is called once, by one thread; everything else by any, at any time."""

    def __init__(
        self,
        address: LiveAddress,
        targets: Sequence[Target],
        spec: LiveSpec,
        *,
        preview: PreviewSink | None = None,
        record_to: Path = Path(),
    ) -> None:
        """`targets`: all but the preview. `record_to`: the folder of recordings that are begun by `record`."""
        self._address, self._spec, self._preview, self._record_to = address, spec, preview, record_to
        self._targets = targets
        self._first_sound = b""
        self._meters = LiveMeters()
        self._began = time.monotonic()
        self._first_picture = threading.Event()
        self._feed = Feed(
            address,
            stall_seconds=spec.stall_seconds,
            retries=spec.retries,
            on_picture=self._on_picture,
            on_sound=self._on_sound,
            on_state=self._on_state,
        )
        self._gpu = GpuMonitor(pick_device(spec.device))
        self._paused = False
        self._recording: tuple[str, LiveSink] | None = None
        self._recording_lock = threading.Lock()
        self._works: Works | None = None
        self._on_event: Callable[[str], None] = _say_nothing
        self._seconds = 0.0

    @property
    def models(self) -> Sequence[str]:
        return ("auto", *self._works.rungs.names) if self._works else ("auto",)

    def run(
        self,
        *,
        on_stats: Callable[[Mapping[str, Any]], None],
        on_event: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> LiveReport:
        """Runs until `stop()`, the duration, or the source's own end.

        `on_stats` gets a line each second, by the calling thread; `on_event` what happens once, in plain words, by any.
        Raises InputError where the source cannot be had, and what upscaling or encoding raises.
        """
        self._on_event = on_event
        rungs = Rungs(self._spec)
        try:
            if self._address.kind == "file":  # looked at beforehand, so that nothing of its beginning is lost
                self._assemble(rungs, *_formats(self._address))
            self._feed.start(self._began)
            if self._wait_for_picture(on_stats, stop):
                if self._works is None:
                    status = self._feed.status()
                    assert status.video_format is not None
                    self._assemble(rungs, status.video_format, status.audio)
                self._watch(on_stats, stop)
        finally:
            self._feed.stop(0.5)
            if self._works is not None:
                self._works.end()
        if self._works is not None and self._works.journey.error is not None:
            raise self._works.journey.error
        self._require_source()
        return self._report()

    def stats(self) -> Mapping[str, object]:
        """`time` is Unix time in seconds; rates are of the last 3 s, latencies and `reused` (a share, 0..1) of the last
        10 s, drops of the whole session; `rss_mb` in MiB."""
        meters, source, works = self._meters, self._feed.status(), self._works
        latency, drops, gpu = meters.latency, meters.drops, self._gpu.sample()
        return {
            "time": round(time.time(), 3),
            "state": "paused" if self._paused and source.state == "live" else source.state,
            "fps_in": round(meters.fps_in, 2),
            "fps_out": round(meters.fps_out, 2),
            "fps_target": round(1 / works.interval_seconds(), 3) if works else None,
            "latency_p50_ms": round(latency.p50_ms, 1),
            "latency_p95_ms": round(latency.p95_ms, 1),
            "latency_p99_ms": round(latency.p99_ms, 1),
            "dropped": sum(drops.values()),
            "dropped_by_reason": dict(drops),
            "frames_in": meters.frames_in,
            "frames_out": meters.frames_out,
            "rung": works.pilot.rung if works else "",
            "rung_reason": works.pilot.reason if works else "",
            "pinned": works.pilot.is_pinned if works else False,
            "paused": self._paused,
            "recording": self._recording[0] if self._recording else None,
            "reused": round(meters.reused_share, 4),
            "rss_mb": round(rss_mb(), 1),
            "source": {
                "name": source.shown,
                "state": source.state,
                "detail": source.last_fault if source.state != "live" else str(works.engine.source) if works else "",
                "faults": source.faults,
                "reconnects": source.reconnects,
            },
            "sinks": [dataclasses.asdict(status) for status in works.broadcast.statuses()] if works else [],
            "gpu": dataclasses.asdict(gpu) if gpu else None,
        }

    def choose_model(self, name: str) -> None:
        works = self._works
        if name not in self.models:
            raise SettingsError(f"No model is called {name!r} here", f"Known: {', '.join(self.models)}")
        if works:
            works.pilot.pin(None if name == "auto" else name)

    def pause(self, paused: bool) -> None:
        self._paused = paused

    def record(self, recording: bool) -> str | None:
        with self._recording_lock:
            works = self._works
            if works is None:
                raise SettingsError("There is no picture to record yet", "Wait for the first one")
            if recording and self._recording is None:
                path = self._record_to / f"lipt-stream-{datetime.now():%Y%m%d-%H%M%S}.mkv"
                sink = make_sink(parse_target(str(path)))
                works.broadcast.add(sink)
                self._recording = (str(path), sink)
            elif not recording and self._recording is not None:
                works.broadcast.remove(self._recording[1])
                self._recording = None
            return self._recording[0] if self._recording else None

    def stills(self) -> Stills | None:
        works = self._works
        planes = works.journey.last_planes() if works else None
        if works is None or planes is None:
            return None
        return as_stills(*planes, works.engine.source, works.engine.target)

    def _wait_for_picture(self, on_stats: Callable[[Mapping[str, Any]], None], stop: Callable[[], bool]) -> bool:
        """Whether a first picture has come. What this waits for is said each second."""
        told = 0.0
        while not self._first_picture.wait(0.05):
            if stop() or self._is_over():
                return False
            if time.monotonic() - told >= STATS_SECONDS:
                told = time.monotonic()
                on_stats(self.stats())
        return True

    def _assemble(self, rungs: Rungs, video_format: VideoFormat, audio: EncodedStream | None) -> None:
        """What takes pictures from now on."""
        source = live_format(video_format)
        works = Works(
            source,
            rungs,
            self._spec,
            self._meters,
            sound=audio,
            first_sound=self._first_sound,
            targets=self._targets,
            preview=self._preview,
            began=self._began,
            standstill=self._standstill,
            on_step=self._on_step,
        )
        self._on_event(
            f"{self._address.shown}: {source} -> {works.engine.target}, by {works.pilot.rung} "
            f"(of {', '.join(rungs.names)}) and {works.broadcast.encoder_name}"
        )
        works.journey.start()
        self._works = works

    def _watch(self, on_stats: Callable[[Mapping[str, Any]], None], stop: Callable[[], bool]) -> None:
        began = told = time.monotonic()
        while not (stop() or self._is_over() or (self._works and self._works.journey.error)):
            time.sleep(0.05)
            now = time.monotonic()
            if now - told >= STATS_SECONDS:
                told += STATS_SECONDS
                on_stats(self.stats())
            self._seconds = now - began
            if self._spec.duration_seconds is not None and self._seconds >= self._spec.duration_seconds:
                return

    def _is_over(self) -> bool:
        return self._feed.status().state in ("ended", "failed")

    def _require_source(self) -> None:
        """Raises InputError where the source cannot be had any more."""
        status = self._feed.status()
        if status.state == "failed":
            raise InputError(status.last_fault.rstrip("."))

    def _standstill(self) -> str | None:
        """See Journey: what is said over the last picture while no new one comes."""
        if self._paused:
            return ""
        status = self._feed.status()
        if status.state not in ("gone", "connecting"):
            return None
        return f"No picture from the camera for {status.seconds_in_state:.0f} s. Trying again."

    def _on_picture(self, picture: SessionPicture) -> None:
        self._first_picture.set()
        works = self._works
        if works is None:
            self._meters.came_in()
            self._meters.dropped("starting")
        elif not self._paused:
            fill = functools.partial(works.fit.copy, picture.picture)
            works.journey.offer(fill, picture.pts, picture.arrived_seconds)

    def _on_sound(self, packet: EncodedPacket) -> None:
        works = self._works
        if works is None:
            self._first_sound = self._first_sound or packet.data
        elif not self._paused and works.source_sound == self._feed.status().audio:
            works.journey.sound(packet)

    def _on_state(self, status: FeedStatus) -> None:
        if status.state == "gone":
            self._on_event(f"source: {status.last_fault}")
        elif status.state == "live" and status.reconnects:
            self._on_event(f"source: {status.shown} is back")

    def _on_step(self, step: Step) -> None:
        self._on_event(f"ladder: {step.from_rung} -> {step.to_rung}: {step.reason}")

    def _report(self) -> LiveReport:
        meters, works, source = self._meters, self._works, self._feed.status()
        latency = meters.latency_of_the_run
        return LiveReport(
            source=source.shown,
            seconds=self._seconds,
            frames_in=meters.frames_in,
            frames_out=meters.frames_out,
            frames_repeated=meters.frames_repeated,
            frames_damaged=source.damaged,
            dropped_by_reason=meters.drops,
            fps_out=meters.fps_out_average,
            latency_p50_ms=latency.p50_ms,
            latency_p95_ms=latency.p95_ms,
            latency_p99_ms=latency.p99_ms,
            faults=source.faults,
            reconnects=source.reconnects,
            steps=works.pilot.steps if works else 0,
            rung=works.pilot.rung if works else "",
            encoder=works.broadcast.encoder_name if works else "",
            peak_rss_mb=peak_rss_mb(),
            notes=(*source.notes, *(works.fit.notes if works else ())),
            sinks=tuple(works.broadcast.statuses()) if works else (),
        )


def _formats(address: LiveAddress) -> tuple[VideoFormat, EncodedStream | None]:
    """Of a file. Raises InputError."""
    source = open_live(address, open_timeout_seconds=10, read_timeout_seconds=10, cancelled=threading.Event())
    source.close()
    return source.video_format, source.audio


def _say_nothing(text: str) -> None:
    del text
