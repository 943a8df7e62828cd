"""run(): every frame once and in order, drained at the end, tidy when stopped, whole errors from any stage."""

from __future__ import annotations

import os
import signal
import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lipt_stream.engine.runtimes import RuntimeName
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import END, End, Frame, Planes, VideoFormat
from lipt_stream.media.null_sink import NullSink
from lipt_stream.media.synthetic import SyntheticSource, stamped_index
from lipt_stream.observe.timings import StageTimings
from lipt_stream.stream.pipeline import Stop, run
from tests.program import run_apart

VIDEO = VideoFormat(width=64, height=48, frame_rate=Fraction(25), time_base=Fraction(1, 25))


@pytest.fixture(scope="module", params=["torch", "openvino"])
def upscaler(request: pytest.FixtureRequest) -> Upscaler:
    """Frames one by one in the main thread, and two at a time in threads of their own."""
    if request.param == "openvino":
        pytest.importorskip("openvino")
    return loaded(request.param)


def loaded(runtime: RuntimeName) -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", runtime=runtime, precision="float32", threads=2)


def engine_of(upscaler: Upscaler, video: VideoFormat, depth: int) -> Engine:
    return Engine(upscaler, video, depth, at_once=upscaler.at_once)


class Collecting:
    """A sink that remembers what it saw, and can be slow or fail at a frame."""

    def __init__(self, *, delay_seconds: float = 0.0, fail_at: int | None = None) -> None:
        self.seen: list[tuple[int, int, int]] = []  # index, pts, the index drawn into the picture
        self.frames_written = 0
        self.notes: list[str] = []
        self._delay_seconds = delay_seconds
        self._fail_at = fail_at

    def write(self, frame: Frame) -> None:
        if self.frames_written == self._fail_at:
            raise RuntimeError("the sink broke")
        time.sleep(self._delay_seconds)
        self.seen.append((frame.index, frame.pts, stamped_index(frame.planes[0], 8)))
        self.frames_written += 1

    def close(self) -> None: ...

    def abort(self) -> None: ...


class FailingSource(SyntheticSource):
    """A synthetic film whose decoder breaks at a frame."""

    def __init__(self, video: VideoFormat, frames: int | None, fail_at: int) -> None:
        super().__init__(video, frames)
        self._fail_at = fail_at

    def read(self, into: Planes) -> Frame | End:
        if self._next_index == self._fail_at:
            raise RuntimeError("the source broke")
        return super().read(into)


def threads_of_ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lipt-")]


@settings(max_examples=12)
@given(frames=st.integers(0, 17), depth=st.integers(2, 6), delay_ms=st.sampled_from([0, 3]))
def test_every_frame_once_in_order_with_its_own_time(
    upscaler: Upscaler, frames: int, depth: int, delay_ms: int
) -> None:
    sink = Collecting(delay_seconds=delay_ms / 1000)
    counts = run(SyntheticSource(VIDEO, frames), engine_of(upscaler, VIDEO, depth), sink)
    assert sink.seen == [(i, i, i) for i in range(frames)]
    assert (counts.frames_in, counts.frames_out, counts.cancelled) == (frames, frames, False)
    assert not threads_of_ours()


@pytest.mark.parametrize("fail_at", [0, 1, 7])
def test_a_source_that_breaks_is_raised_whole(upscaler: Upscaler, fail_at: int) -> None:
    with pytest.raises(RuntimeError, match="the source broke") as caught:
        run(FailingSource(VIDEO, 20, fail_at), engine_of(upscaler, VIDEO, 3), NullSink(VIDEO.scaled(2)))
    assert caught.traceback[-1].name == "read", "the traceback reaches into the stage that failed"
    assert not threads_of_ours()


@pytest.mark.parametrize("fail_at", [0, 1, 7])
def test_a_sink_that_breaks_is_raised_whole_though_the_source_never_ends(upscaler: Upscaler, fail_at: int) -> None:
    with pytest.raises(RuntimeError, match="the sink broke") as caught:
        run(SyntheticSource(VIDEO, None), engine_of(upscaler, VIDEO, 3), Collecting(fail_at=fail_at))
    assert caught.traceback[-1].name == "write"
    assert not threads_of_ours()


def test_a_network_that_breaks_is_raised_whole(upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(upscaler, VIDEO, 3)
    real, count = upscaler.run, iter(range(100))

    def breaking(images: Tensor, at_once: int = 1) -> Tensor:
        if next(count) == 4:
            raise RuntimeError("the network broke")
        return real(images, at_once)

    monkeypatch.setattr(upscaler, "run", breaking)
    with pytest.raises(RuntimeError, match="the network broke") as caught:
        run(SyntheticSource(VIDEO, None), engine, NullSink(engine.target))
    assert caught.traceback[-1].name == "breaking"
    assert not threads_of_ours()


@pytest.mark.parametrize("stop_after", [1, 5])
def test_stopping_finishes_what_is_in_flight(upscaler: Upscaler, stop_after: int) -> None:
    stop, sink = Stop(), Collecting()

    def progress(frame: Frame) -> None:
        if frame.index + 1 == stop_after:
            stop.request()

    counts = run(SyntheticSource(VIDEO, None), engine_of(upscaler, VIDEO, 4), sink, progress=progress, stop=stop)
    assert counts.cancelled
    assert counts.frames_in == counts.frames_out == len(sink.seen) >= stop_after
    assert sink.seen == [(i, i, i) for i in range(len(sink.seen))]
    assert counts.frames_out <= stop_after + 4 + 1, "no more than the slots in flight"


def test_interrupts_while_the_last_frames_are_written_leave_no_thread_at_work(upscaler: Upscaler) -> None:
    """As by a second and a third Ctrl-C, when the main thread has nothing left to do but to wait."""
    ended = run_apart(_interrupted, upscaler.runtime)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("name", "is_begun", "error"),
    [
        ("lipt-decode", False, KeyboardInterrupt()),
        ("lipt-decode", True, KeyboardInterrupt()),
        ("lipt-encode", False, KeyboardInterrupt()),
        ("lipt-encode", True, KeyboardInterrupt()),
        ("lipt-encode", False, RuntimeError("can't start new thread")),
    ],
)
def test_an_error_while_the_threads_are_started_leaves_none(name: str, is_begun: bool, error: BaseException) -> None:
    ended = run_apart(_failing_to_start, name, is_begun, error)
    assert ended.returncode == 0, ended.stderr


def _failing_to_start(name: str, is_begun: bool, error: BaseException) -> None:
    start = threading.Thread.start

    def failing(thread: threading.Thread) -> None:
        if thread.name != name or is_begun:
            start(thread)
        if thread.name == name:
            raise error

    threading.Thread.start = failing  # type: ignore[method-assign]
    with pytest.raises(type(error)):
        run(SyntheticSource(VIDEO, None), engine_of(loaded("torch"), VIDEO, 3), Collecting())
    assert not threads_of_ours()


class Interrupting(Collecting):
    ended = False

    def write(self, frame: Frame) -> None:
        super().write(frame)
        if frame.index == 2:
            for _ in range(2):
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            self.ended = True


def _interrupted(runtime: RuntimeName) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    sink = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run(SyntheticSource(VIDEO, 5), engine_of(loaded(runtime), VIDEO, 5), sink)
    assert sink.ended
    assert len(sink.seen) == 3, "nothing is written after an interrupt but what was being written"
    assert not threads_of_ours()


def test_a_slow_sink_holds_the_source_back(upscaler: Upscaler) -> None:
    depth, ahead = 3, []

    class Watching(SyntheticSource):
        def read(self, into: Planes) -> Frame | End:
            ahead.append(self._next_index - sink.frames_written)
            return super().read(into)

    sink = Collecting(delay_seconds=0.01)
    run(Watching(VIDEO, 20), engine_of(upscaler, VIDEO, depth), sink)
    assert max(ahead) <= depth


def test_an_engine_can_run_again_after_a_failure(upscaler: Upscaler) -> None:
    engine = engine_of(upscaler, VIDEO, 3)
    with pytest.raises(RuntimeError):
        run(FailingSource(VIDEO, 20, 5), engine, NullSink(engine.target))
    sink = Collecting()
    run(SyntheticSource(VIDEO, 9), engine, sink)
    assert [index for _, _, index in sink.seen] == list(range(9))


def test_every_stage_is_timed_for_every_frame(upscaler: Upscaler) -> None:
    timings = StageTimings()
    run(SyntheticSource(VIDEO, 8), engine_of(upscaler, VIDEO, 3), NullSink(VIDEO.scaled(2)), timings=timings)
    summary = timings.summary()
    assert {
        name: summary[name].count for name in ("upload", "network", "download", "encode", "frame")
    } == dict.fromkeys(("upload", "network", "download", "encode", "frame"), 8)
    assert summary["decode"].count == 9, "END is read too"
    assert summary["network"].p50_ms > 0
    assert summary["frame"].p50_ms >= summary["network"].p50_ms


def test_ten_bit_planes_travel_as_uint16(upscaler: Upscaler) -> None:
    video = VideoFormat(width=64, height=48, pix_fmt="yuv420p10le", frame_rate=Fraction(25), time_base=Fraction(1, 25))
    engine = engine_of(upscaler, video, 2)
    source = SyntheticSource(video, 1)
    slot = engine.slots[0]
    frame = source.read(slot.host_in)
    assert frame is not END
    engine.process(slot)
    assert slot.host_out[0].shape == (96, 128)
    assert 255 < slot.host_out[0].max() < 1024
    assert stamped_index(slot.host_out[0], 10) == 0


@pytest.mark.gpu
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_gpu_frames_equal_cpu_frames(pix_fmt: str) -> None:
    video = VideoFormat(width=322, height=182, pix_fmt=pix_fmt, frame_rate=Fraction(25))  # type: ignore[arg-type]
    results = []
    for device in ("cpu", "cuda"):
        upscaler = Upscaler.load("tiny-x2", device=device, runtime="torch", precision="float32")
        kept: list[tuple[int, Planes]] = []

        class Keeping(Collecting):
            def write(self, frame: Frame) -> None:
                kept.append((frame.pts, tuple(plane.copy() for plane in frame.planes)))  # type: ignore[arg-type]  # noqa: B023

        run(SyntheticSource(video, 6), engine_of(upscaler, video, 3), Keeping())
        results.append(kept)
    for (cpu_pts, cpu), (gpu_pts, gpu) in zip(*results, strict=True):
        assert cpu_pts == gpu_pts
        for a, b in zip(cpu, gpu, strict=True):
            assert abs(a.astype(int) - b.astype(int)).max() <= 2 << (video.bit_depth - 8)


@pytest.mark.gpu
def test_gpu_streams_keep_order_over_many_frames() -> None:
    upscaler = Upscaler.load("nano-x2", device="cuda")
    sink = Collecting()
    run(SyntheticSource(VIDEO, 300), engine_of(upscaler, VIDEO, 4), sink)
    assert [index for _, _, index in sink.seen] == list(range(300))
