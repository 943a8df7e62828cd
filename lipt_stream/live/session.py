"""A live session, whole: a source that may come and go, and what is done with it, said of it and asked of it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lipt_stream.engine.upscaler import pick_device
from lipt_stream.errors import InputError, SettingsError
from lipt_stream.frame import VideoFormat
from lipt_stream.live.control import Stills
from lipt_stream.live.device_watch import DeviceWatch
from lipt_stream.live.feed import Feed, FeedStatus
from lipt_stream.live.ladder import Step
from lipt_stream.live.lookout import Lookout
from lipt_stream.live.preview import PreviewSink
from lipt_stream.live.recorder import Recorder
from lipt_stream.live.report import LiveReport, live_report
from lipt_stream.live.rungs import LANCZOS, Rungs
from lipt_stream.live.sinks_told import SinksTold
from lipt_stream.live.source_told import SourceTold
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.stats import LiveMeters
from lipt_stream.live.stats_line import stats_line
from lipt_stream.live.stills import as_stills
from lipt_stream.live.targets import Target
from lipt_stream.live.works import Works, live_format
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live import SessionPicture
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.live_encoder import require_live_encoder
from lipt_stream.media.live_input import open_live
from lipt_stream.observe.gpu import GpuMonitor

FEED_SECONDS: Final = 0.3
"""What the source may take to end; the pictures in flight and the sinks have limits of their own (works.py)."""
_SOUND_HAS_CHANGED: Final = (
    "the source's sound is of another kind than at first, and left out: begin the session anew to have it"
)


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
        """`targets`: all but the preview. `record_to`: the folder of recordings that are begun by `record`.

        Raises what is wrong with the encoder, which else would come out with the first picture, perhaps days later."""
        require_live_encoder(spec.encoder, spec.crf)
        self._address, self._spec, self._preview = address, spec, preview
        self._targets = targets
        self._first_sound = b""
        self._sound_at_first: EncodedStream | None = None
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
            on_passed_over=self._on_passed_over,
        )
        self._device_watch = DeviceWatch()
        self._gpu = GpuMonitor(pick_device(spec.device))
        self._paused = False
        self._recorder = Recorder(record_to)
        self._works: Works | None = None
        self._on_event: Callable[[str], None] = _say_nothing
        self._sinks_told = SinksTold(lambda text: self._on_event(text))
        self._source_told = SourceTold(lambda text: self._on_event(text))
        self._notes: list[str] = []
        self._seconds = 0.0
        self._fps_out = 0.0
        self.is_hanging = False
        """Whether, after the end, something still runs that could not be ended: a picture that takes long, a network
        that is being compiled. A program is then to end by `os._exit`, which does not wait for it."""

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

        def tell() -> None:
            self._source_told.look(self._feed.status())
            if self._works:
                self._sinks_told.tell(self._works.broadcast.statuses())
                if self._works.broadcast.sound_has_changed:
                    self._note(_SOUND_HAS_CHANGED)
            on_stats(self.stats())

        lookout = Lookout(tell, lambda: stop() or self._is_over())
        try:
            if self._begin(lookout):
                self._go_on(lookout)
        finally:
            self._feed.stop(FEED_SECONDS)
            has_ended = self._works is None or self._works.end()
            self.is_hanging = lookout.has_left_behind or not has_ended
        if self._works is not None and self._works.journey.error is not None:
            raise self._works.journey.error
        self._require_source(stop)
        return self._report()

    def stats(self) -> Mapping[str, object]:
        """See `stats_line`."""
        return stats_line(
            self._meters,
            self._feed.status(),
            self._works,
            self._gpu.sample(),
            paused=self._paused,
            recording=self._recorder.name,
        )

    def choose_model(self, name: str) -> None:
        works = self._works
        if name not in self.models:
            raise SettingsError(f"No model is called {name!r} here", f"Known: {', '.join(self.models)}")
        if works:
            works.pilot.pin(None if name == "auto" else name)

    def pause(self, paused: bool) -> None:
        self._paused = paused

    def record(self, recording: bool) -> str | None:
        works = self._works
        if works is None:
            raise SettingsError("There is no picture to record yet", "Wait for the first one")
        if recording:
            self._recorder.begin(works.broadcast)
        else:
            self._recorder.end(works.broadcast, self._on_event)
        return self._recorder.name

    def stills(self) -> Stills | None:
        works = self._works
        planes = works.journey.last_planes() if works else None
        if works is None or planes is None:
            return None
        return as_stills(*planes, works.engine.source, works.engine.target)

    def _begin(self, lookout: Lookout) -> bool:
        """Whether pictures flow; False where the session is to end before they do."""
        rungs = lookout.result(lambda: Rungs(self._spec, may_be_chosen=self._preview is not None))
        if rungs is None:
            return False
        if rungs.names == (LANCZOS,) and self._spec.model != LANCZOS:
            self._note(f"no network has weights for x{self._spec.scale}: Lanczos upscales")
        is_file = self._address.kind == "file"
        if is_file:  # looked at beforehand, so that nothing of its beginning is lost
            formats = lookout.result(lambda: _formats(self._address))
        else:
            self._feed.start(self._began)
            has_come = lookout.wait(self._first_picture.is_set, self._spec.duration_seconds)
            formats = self._feed_formats() if has_come else None
        self._sound_at_first = formats[1] if formats else None
        works = formats and lookout.result(lambda: self._new_works(rungs, *formats))
        if works is None:
            return False
        works.begin(self._targets)
        for note in works.notes:
            self._note(note)
        self._works = works
        self._on_event(
            f"{self._address.shown}: {works.engine.source} -> {works.engine.target}, by {works.pilot.rung} "
            f"(of {', '.join(rungs.names)}) and {works.broadcast.encoder_name}"
        )
        if is_file:
            self._feed.start(self._began)
        return True

    def _go_on(self, lookout: Lookout) -> None:
        began = time.monotonic()
        lookout.wait(lambda: False, self._spec.duration_seconds)
        self._seconds = time.monotonic() - began
        self._fps_out = self._meters.fps_out_average

    def _new_works(self, rungs: Rungs, video_format: VideoFormat, audio: EncodedStream | None) -> Works:
        return Works(
            live_format(video_format),
            rungs,
            self._spec,
            self._meters,
            sound=audio,
            first_sound=self._first_sound,
            preview=self._preview,
            is_baseline=any(target.wants_baseline for target in self._targets),
            standstill=self._standstill,
            on_step=self._on_step,
        )

    def _feed_formats(self) -> tuple[VideoFormat, EncodedStream | None]:
        status = self._feed.status()
        assert status.video_format is not None, "there was a picture"
        return status.video_format, status.audio

    def _is_over(self) -> bool:
        return self._has_failed() or self._feed.status().state in ("ended", "failed")

    def _has_failed(self) -> bool:
        if self._works is None:
            return False
        journey = self._works.journey
        if hangs := self._device_watch.look(journey.awaited, str(self._works.engine.upscaler.device)):
            journey.fail(hangs)
        return journey.failed

    def _require_source(self, stop: Callable[[], bool]) -> None:
        """Raises InputError where the source cannot be had any more, or gave nothing in all the time there was."""
        status = self._feed.status()
        if status.state == "failed":
            raise InputError(status.last_fault.rstrip("."))
        if status.video_format is None and not stop():
            seconds = self._spec.duration_seconds
            raise InputError(f"No picture came from {status.shown} in {seconds:g} s", status.last_fault)

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
        if works is None or self._paused:
            self._meters.came_in()
            self._meters.dropped("paused" if works else "starting")
        else:
            fill = functools.partial(works.fit.copy, picture.picture)
            works.journey.offer(fill, picture.pts, picture.arrived_seconds)

    def _on_passed_over(self) -> None:
        self._meters.came_in()
        self._meters.dropped("behind")

    def _on_sound(self, packet: EncodedPacket) -> None:
        works = self._works
        if works is None:
            self._first_sound = self._first_sound or packet.data
            return
        first, now = works.source_sound, self._feed.status().audio
        if first is None or now is None or not now.is_like(first):
            self._meters.left_out_sound()
        elif not self._paused:
            works.journey.sound(packet.rescaled(now.time_base, first.time_base))

    def _on_state(self, status: FeedStatus) -> None:
        self._source_told.changed(status)
        if status.state != "live" or self._works is None or status.audio is None:
            return
        if self._sound_at_first is None:
            self._note("the source's sound was not there at first, and left out: begin the session anew to have it")
        elif not status.audio.is_like(self._sound_at_first):
            self._note(_SOUND_HAS_CHANGED)

    def _note(self, text: str) -> None:
        """For the report, and said once."""
        if text not in self._notes:
            self._notes.append(text)
            self._on_event(f"note: {text}")

    def _on_step(self, step: Step) -> None:
        self._on_event(f"ladder: {step.from_rung} -> {step.to_rung}: {step.reason}")

    def _report(self) -> LiveReport:
        return live_report(
            self._meters,
            self._feed.status(),
            self._works,
            seconds=self._seconds,
            fps_out=self._fps_out,
            notes=self._notes,
        )


def _formats(address: LiveAddress) -> tuple[VideoFormat, EncodedStream | None]:
    """Of a file. Raises InputError."""
    source = open_live(address, open_timeout_seconds=10, read_timeout_seconds=10, cancelled=threading.Event())
    source.close()
    return source.video_format, source.audio


def _say_nothing(text: str) -> None:
    del text
