"""upscale_frames(): the pictures of a film one by one, upscaled, as arrays."""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.file_source import FileSource
from lipt_stream.stream.pipeline import Stop, run
from lipt_stream.stream.spec import PipelineSpec
from lipt_stream.stream.upscale import load_upscaler


@dataclass(frozen=True, slots=True)
class UpscaledFrame:
    """One upscaled picture: `rgb` (scale*H, scale*W, 3) uint8, and when it is shown."""

    index: int
    pts_seconds: float
    rgb: NDArray[np.uint8]


def upscale_frames(
    input_path: str | Path,
    *,
    spec: PipelineSpec | None = None,
    upscaler: Upscaler | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
) -> Generator[UpscaledFrame]:
    """Iterate over the upscaled pictures of a file, in order, each once.

    `start_seconds` and `end_seconds` count from the first picture, and where a start is given, `pts_seconds` from that.
    Pictures come as they are stored: a rotation or a pixel aspect that the file states is not applied.
    `upscaler` is made from `spec` where none is given; the scale of one that is given holds.
    Nothing happens before the first picture is asked for; then decoding and upscaling go on in the background, at most
    `spec.depth` pictures ahead. They end, and the file is closed, with the iterator: by `close()`, by leaving a loop
    that alone holds it, or with the program. The arrays are the caller's own. Raises what `upscale_file` raises.
    """
    spec = spec or PipelineSpec()
    source = FileSource(
        input_path,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        deinterlace=spec.deinterlace,
        threads=spec.decoder_threads,
    )
    with ExitStack() as unused:
        unused.callback(source.close)
        upscaler = (upscaler or load_upscaler(spec)).for_bit_depth(source.format.bit_depth)
        engine = Engine(upscaler, source.format, spec.depth, at_once=upscaler.at_once)
        unused.pop_all()
    yield from _run_in_background(source, engine)


def _run_in_background(source: FileSource, engine: Engine) -> Generator[UpscaledFrame]:
    """Takes `source` over."""
    stop = Stop()
    sink = _Handoff(engine.target, stop)

    def work() -> None:
        try:
            with closing(source):
                run(source, engine, sink, stop=stop)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            sink.offer(error)
        else:
            sink.offer(None)

    def leave() -> None:
        stop.request()
        thread.join()

    # A program may end while it still holds the iterator: at an error within its loop, say. Python waits for threads
    # that are no daemons before it asks anyone to end them; the stages' threads are what this one is.
    thread = threading.Thread(target=work, name="lipt-frames", daemon=True)
    thread.start()
    atexit.register(leave)
    reader = threading.get_ident()
    try:
        while (item := sink.items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            reader = threading.get_ident()
    finally:
        atexit.unregister(leave)
        stop.request()
        # Elsewhere the collector ends a forgotten iterator, in whatever thread it runs: a stage would wait for itself.
        if threading.get_ident() == reader:
            thread.join()


class _Handoff:
    """A sink that hands pictures, and at the end an error or None, to another thread, one at a time."""

    def __init__(self, video: VideoFormat, stop: Stop) -> None:
        self.items: queue.Queue[UpscaledFrame | BaseException | None] = queue.Queue(maxsize=1)
        self.frames_written = 0
        self.notes: list[str] = []
        self._stop = stop
        self._time_base = video.time_base
        self._as_rgb = RgbPictures(video)

    def write(self, frame: Frame) -> None:
        self.offer(UpscaledFrame(frame.index, float(frame.pts * self._time_base), self._as_rgb(frame.planes)))
        self.frames_written += 1

    def offer(self, item: UpscaledFrame | BaseException | None) -> None:
        """Wait until the reader takes the last item, unless the reader has left."""
        while not self._stop.requested:
            try:
                self.items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def close(self) -> None:
        return

    def abort(self) -> Path | None:
        return None
