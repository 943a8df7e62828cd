"""upscale_file(): one film in, the same film out, larger."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler, pick_device
from lipt_stream.errors import InputError, LiptError, SettingsError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.model import catalog
from lipt_stream.observe.process import forget_peak_rss, peak_rss_mb
from lipt_stream.observe.timings import RateMeter, StageTimings
from lipt_stream.stream.pipeline import Counts, Stop, run
from lipt_stream.stream.report import Report
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.verify.facts import Check
from lipt_stream.verify.times import quick_check


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is. `frames_total` is an estimate, None where the file states no length. `elapsed_seconds` and the
    rates count from the first frame: loading and compiling are not in them."""

    frames: int
    frames_total: int | None
    fps_now: float
    fps_average: float
    media_seconds: float
    elapsed_seconds: float


def load_upscaler(spec: PipelineSpec) -> Upscaler:
    """The Upscaler that a spec asks for. "auto" is tiny on a GPU and nano on a CPU, or the other of the two where only
    that has weights for the scale."""
    model = spec.model
    if model == "auto":
        preference = ("tiny", "nano") if pick_device(spec.device).type == "cuda" else ("nano", "tiny")
        model = catalog.first_with_weights(preference, spec.scale)
    upscaler = Upscaler.load(
        model,
        device=spec.device,
        precision=spec.precision,
        runtime=spec.runtime,
        threads=spec.threads,
        tile=spec.tile,
        scale=spec.scale,
    )
    if upscaler.scale != spec.scale:
        raise SettingsError(f"{model} upscales x{upscaler.scale}, not x{spec.scale}", f"Use --scale {upscaler.scale}")
    return upscaler


def upscale_file(
    input_path: str | Path,
    output_path: str | Path,
    *,
    spec: PipelineSpec | None = None,
    upscaler: Upscaler | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    overwrite: bool = False,
    progress: Callable[[Progress], None] | None = None,
    stop: Stop | None = None,
) -> Report:
    """Upscale the first video stream of a file; everything else in it is copied.

    `upscaler` may be given to serve several files, and its scale then holds, not that of `spec`; it is made from `spec`
    otherwise. `start_seconds` and `end_seconds` cut by presentation time, counted from the film's beginning. The result
    is written beside its final name, read again, and renamed where it holds what was written; after an error, a `stop`
    or a failed check it is kept under a name that says partial, as far as it plays.
    `progress` is called from the encode thread after every frame.
    Raises InputError, OutputError, SettingsError, WeightsError or DeviceError; the source and the output's container
    and encoder are checked before the network is loaded.
    """
    spec = spec or PipelineSpec()
    scale = upscaler.scale if upscaler else spec.scale
    started = time.perf_counter()
    forget_peak_rss()  # of the film before, in a folder of them
    source = FileSource(
        input_path,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        deinterlace=spec.deinterlace,
        threads=spec.decoder_threads,
    )
    try:
        encoder = choose_encoder(
            spec.encoder,
            crf=spec.crf,
            options=spec.encoder_options,
            bit_depth=source.format.bit_depth,
            suffix=Path(output_path).suffix,
            size=(source.format.width * scale, source.format.height * scale),
        )
        sink = FileSink(
            Path(output_path),
            source.format.scaled(scale),
            encoder=encoder,
            copy_from=Path(input_path),
            start_seconds=start_seconds,
            end_seconds=end_seconds,
            overwrite=overwrite,
            threads=spec.encoder_threads,
            unfit=spec.unfit,
        )
        timings = StageTimings()
        tracker = _Tracker(source.format, source.frame_count_estimate, progress)
        try:
            upscaler = (upscaler or load_upscaler(spec)).for_bit_depth(source.format.bit_depth)
            engine = Engine(upscaler, source.format, spec.depth, at_once=upscaler.at_once)
            ready = time.perf_counter()
            counts = run(source, engine, sink, timings=timings, progress=tracker, stop=stop)
            written, checks = _finish(sink, tracker, counts)
        except BaseException as error:
            kept = sink.abort()
            if kept is not None:
                _tell(error, f"What was done until then is in {kept}")
            raise
    finally:
        source.close()
    return Report(
        input=str(input_path),
        output=str(written) if written else None,
        complete=not counts.cancelled,
        frames_in=counts.frames_in,
        frames_out=counts.frames_out,
        frames_concealed=source.frames_concealed,
        seconds=time.perf_counter() - started,
        startup_seconds=ready - started,
        media_seconds=tracker.media_seconds,
        source=str(engine.source),
        target=str(engine.target),
        model=upscaler.info.name,
        scale=upscaler.scale,
        device=str(upscaler.device),
        runtime=upscaler.runtime,
        precision=upscaler.precision,
        encoder=encoder.name,
        encoder_options=encoder.open_options(),
        tiles=upscaler.plan(source.format.height, source.format.width).count,
        peak_rss_mb=peak_rss_mb(),
        stages=timings.summary(),
        notes=(*source.notes, *sink.notes),
        checks=checks,
    )


def _tell(error: BaseException, where: str) -> None:
    """Says it with the error itself: after a second Ctrl-C or a defect there is no report to say it in."""
    if isinstance(error, LiptError):
        error.hint = f"{error.hint.rstrip('.')}. {where}".lstrip(". ")
    else:
        error.add_note(where)


def _finish(sink: FileSink, tracker: _Tracker, counts: Counts) -> tuple[Path | None, tuple[Check, ...]]:
    """Where the result is, and what was checked before it got its name."""
    if counts.cancelled:
        return sink.abort(), ()
    checks = tracker.check(sink.finish(), sink.delay_ticks, sink.moved_ticks)
    if not all(check.ok for check in checks):
        return sink.abort(), checks
    sink.close()
    return sink.path, checks


class _Tracker:
    """Follows the frames that were written: how much film, how fast."""

    def __init__(self, video: VideoFormat, frames_total: int | None, report: Callable[[Progress], None] | None) -> None:
        self._time_base = video.time_base
        self._frames_total = frames_total
        self._report = report
        self._rate = RateMeter()
        self._frames = 0
        self._pts = array("q")
        self._end_pts = 0

    def __call__(self, frame: Frame) -> None:
        self._frames += 1
        self._rate.tick()
        self._pts.append(frame.pts)
        self._end_pts = frame.pts + frame.duration
        if self._report is not None:
            self._report(
                Progress(
                    frames=self._frames,
                    frames_total=self._frames_total,
                    fps_now=self._rate.windowed,
                    fps_average=self._rate.average,
                    media_seconds=self.media_seconds,
                    elapsed_seconds=self._rate.elapsed_seconds,
                )
            )

    @property
    def media_seconds(self) -> float:
        return float((self._end_pts - (self._pts[0] if self._pts else 0)) * self._time_base)

    def check(self, written: Path, delay_ticks: int, moved_ticks: Mapping[int, int]) -> tuple[Check, ...]:
        """What the written file holds, read afresh, against what was sent there: all of it so much later, and single
        pictures, by their number, so much more."""
        try:
            pts = array("q", (time + delay_ticks for time in self._pts)) if delay_ticks else array("q", self._pts)
            for number, ticks in moved_ticks.items():
                pts[number] += ticks
            return quick_check(written, pts=pts, end_pts=self._end_pts + delay_ticks, time_base=self._time_base)
        except InputError as error:
            return (Check("readable", False, "yes", "no", error.message),)
