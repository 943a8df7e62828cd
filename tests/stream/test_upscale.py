"""upscale_file and upscale_frames on the bundled real clip."""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
import threading
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from lipt_stream import (
    InputError,
    OutputError,
    PipelineSpec,
    SettingsError,
    Stop,
    Upscaler,
    upscale_file,
    upscale_frames,
)
from lipt_stream.frame import END, End, Frame, Planes, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.model import catalog
from lipt_stream.stream.upscale import load_upscaler
from tests.film import flat_picture

SPEC = PipelineSpec(model="nano", device="cpu")


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler.load("nano", device="cpu")


def video_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sorted(frame.pts * stream.time_base for frame in container.decode(stream))


def accurate_rgb(picture: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) float by swscale with its accurate arithmetic; its fast one, the default, is darker by one."""
    accurate = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    planes = picture.reformat(format="gbrp", interpolation=accurate).planes
    g, b, r = (np.asarray(np.from_dlpack(plane)).astype(float) for plane in planes)
    return np.stack([r, g, b], axis=-1)


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def test_the_same_film_larger(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    result = tmp_path / "large.mp4"
    report = upscale_file(clip, result, spec=SPEC, upscaler=upscaler)
    before, after = video_times(clip), video_times(result)
    assert report.ok
    assert report.frames_in == report.frames_out == len(before) == len(after)
    assert [t - before[0] for t in before] == pytest.approx([t - after[0] for t in after], abs=1e-3)
    assert audio_packets(clip) == audio_packets(result)
    with av.open(str(clip)) as small, av.open(str(result)) as large:
        assert large.streams.video[0].width == 2 * small.streams.video[0].width
        assert large.streams.video[0].height == 2 * small.streams.video[0].height
    assert json.loads(json.dumps(report.to_json()))["frames_dropped"] == 0
    assert [check.name for check in report.checks] == ["frames", "timestamps", "duration"]
    assert list(tmp_path.iterdir()) == [result]


def test_the_scale_of_a_given_network_holds(tmp_path: Path) -> None:
    small, large = VideoFormat(width=64, height=48, time_base=Fraction(1, 30)), tmp_path / "large.mp4"
    film = tmp_path / "small.mkv"
    sink = FileSink(film, small, encoder=choose_encoder("libx264"), copy_from=None)
    source, planes = SyntheticSource(small, 3), small.new_planes()
    while (frame := source.read(planes)) is not END:
        sink.write(frame)
    sink.close()
    report = upscale_file(film, large, upscaler=Upscaler.load("tiny-x4", device="cpu"))
    assert (report.scale, report.ok) == (4, True)
    with av.open(str(large)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (256, 192)


def test_auto_takes_the_network_that_has_weights_for_the_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    some = {("nano", 2), ("tiny", 2), ("tiny", 4)}
    shipped = tuple(entry for entry in catalog.entries() if (entry.model, entry.scale) in some)
    monkeypatch.setattr(catalog, "entries", lambda: shipped)
    names = [load_upscaler(PipelineSpec(device="cpu", scale=scale)).info.name.split("-x")[0] for scale in (2, 4)]
    assert names == ["nano", "tiny"]
    with pytest.raises(SettingsError, match=r"no weights for x3\. They come for x2, x4"):
        load_upscaler(PipelineSpec(device="cpu", scale=3))


def test_the_picture_is_the_sources_picture(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    """Each upscaled frame, shrunk, is nearest to its own source frame: none swapped, shifted or recoloured."""
    result = tmp_path / "large.mkv"
    upscale_file(clip, result, spec=SPEC, upscaler=upscaler, end_seconds=1.0)
    with av.open(str(clip)) as small, av.open(str(result)) as large:
        width, height = small.streams.video[0].width, small.streams.video[0].height
        sources = [frame.to_ndarray(format="rgb24").astype(float) for frame in islice(small.decode(video=0), 25)]
        results = [
            frame.reformat(width, height, "rgb24", interpolation="AREA").to_ndarray().astype(float)
            for frame in islice(large.decode(video=0), 25)
        ]
    assert len(results) > 20
    for index, picture in enumerate(results):
        errors = [np.mean((picture - source) ** 2) for source in sources]
        assert errors[index] == min(errors)
        assert 10 * np.log10(255**2 / errors[index]) > 30
        assert np.abs((picture - sources[index]).mean(axis=(0, 1))).max() < 1.0, "no colour shift"


def test_cutting_by_time(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    report = upscale_file(clip, tmp_path / "cut.mp4", spec=SPEC, upscaler=upscaler, start_seconds=1.0, end_seconds=2.0)
    first = video_times(clip)[0]
    expected = [t for t in video_times(clip) if 1 <= t - first < 2]
    assert report.frames_out == len(expected)
    assert report.media_seconds == pytest.approx(1.0, abs=0.08)


def test_stopping_keeps_a_playable_part_under_another_name(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    stop = Stop()
    report = upscale_file(
        clip,
        tmp_path / "large.mp4",
        spec=SPEC,
        upscaler=upscaler,
        stop=stop,
        progress=lambda update: stop.request() if update.frames == 10 else None,
    )
    assert not report.complete
    assert not report.ok
    assert report.output is not None
    assert "partial" in report.output
    assert not (tmp_path / "large.mp4").exists()
    assert len(video_times(Path(report.output))) == report.frames_out >= 10


def test_a_written_file_that_lost_a_picture_is_not_ok(
    clip: Path, tmp_path: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check at the end reads the file: a muxer that loses a packet in silence is found out."""
    real, count = FileSink._mux, iter(range(1000))

    def losing(sink: FileSink, packets: list[av.Packet]) -> None:
        real(sink, [packet for packet in packets if next(count) != 12])  # type: ignore[arg-type]

    monkeypatch.setattr(FileSink, "_mux", losing)
    report = upscale_file(clip, tmp_path / "large.mkv", spec=SPEC, upscaler=upscaler, end_seconds=1.0)
    assert report.frames_dropped == 0
    assert report.complete
    assert not report.ok
    assert "the file holds 29" in next(check.detail for check in report.checks if check.name == "frames")
    assert report.output == str(tmp_path / "large.partial.mkv")
    assert [str(path) for path in tmp_path.iterdir()] == [report.output], "nothing looks finished"
    assert len(video_times(Path(report.output))) == 29


def test_a_written_file_that_cannot_be_read_again_is_kept_and_not_ok(
    clip: Path, tmp_path: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FileSink.finish

    def damaging(sink: FileSink) -> Path:
        part = real(sink)
        part.write_bytes(bytes(part.stat().st_size))  # as a disk that fails may give it back
        return part

    monkeypatch.setattr(FileSink, "finish", damaging)
    report = upscale_file(clip, tmp_path / "large.mp4", spec=SPEC, upscaler=upscaler, end_seconds=0.2)
    assert [(check.name, check.ok) for check in report.checks] == [("readable", False)]
    assert report.output == str(tmp_path / "large.partial.mp4")
    assert [str(path) for path in tmp_path.iterdir()] == [report.output]


def test_an_existing_result_is_kept(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    result = tmp_path / "large.mp4"
    result.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--overwrite"):
        upscale_file(clip, result, spec=SPEC, upscaler=upscaler)
    assert result.read_bytes() == b"precious"


def test_errors_come_before_work_and_leave_nothing(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        upscale_file(tmp_path / "nowhere.mp4", tmp_path / "x.mp4")
    with pytest.raises(SettingsError, match="There is no encoder"):
        upscale_file(clip, tmp_path / "x.mp4", spec=PipelineSpec(encoder="x264"))
    with pytest.raises(OutputError, match="no container"):
        upscale_file(clip, tmp_path / "x.gif")
    assert list(tmp_path.iterdir()) == []


def test_nothing_between_start_and_end_is_said(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    with pytest.raises((InputError, OutputError), match=r"--start|start"):
        upscale_file(clip, tmp_path / "x.mp4", spec=SPEC, upscaler=upscaler, start_seconds=1000)
    assert list(tmp_path.iterdir()) == []


def test_frames_one_by_one(clip: Path, upscaler: Upscaler) -> None:
    frames = list(upscale_frames(clip, spec=SPEC, upscaler=upscaler, end_seconds=0.5))
    times = video_times(clip)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([float(t) for t in times[: len(frames)]], abs=1e-6)
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert frames[0].rgb.shape == (2 * stream.height, 2 * stream.width, 3)
        source = accurate_rgb(next(container.decode(video=0)))
    assert frames[0].rgb.dtype == np.uint8
    assert np.abs(frames[0].rgb.mean(axis=(0, 1)) - source.mean(axis=(0, 1))).max() < 1.0
    assert not np.shares_memory(frames[0].rgb, frames[1].rgb)


def test_leaving_the_loop_early_ends_the_threads(clip: Path, upscaler: Upscaler) -> None:
    frames = upscale_frames(clip, spec=SPEC, upscaler=upscaler)
    next(frames)
    frames.close()
    assert not _stages()


def _stages() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lipt-")]


def test_an_iterator_that_the_collector_ends_in_a_stage_leaves_no_threads(
    clip: Path, upscaler: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector runs where something is allocated: while the reader rests, in a stage."""
    held: dict[str, Any] = {"frames": upscale_frames(clip, spec=SPEC, upscaler=upscaler)}
    held["itself"] = held  # so that only the collector frees it
    forgotten, reads, read = threading.Event(), itertools.count(1), FileSource.read

    def collecting(source: FileSource, into: Planes) -> Frame | End:
        if next(reads) == SPEC.depth + 1 and forgotten.wait(60):
            gc.collect()
        return read(source, into)

    monkeypatch.setattr(FileSource, "read", collecting)
    gc.disable()
    try:
        next(held["frames"])
        stages = _stages()
        del held
        forgotten.set()
        for stage in stages:
            stage.join(timeout=60)
    finally:
        gc.enable()
    assert not _stages()


HOLDS_THE_ITERATOR = """
import sys
from lipt_stream import PipelineSpec, upscale_frames

def main():
    frames = upscale_frames(sys.argv[1], spec=PipelineSpec(model="nano", device="cpu"))
    for frame in frames:
        print(frame.index, flush=True)
        if frame.index == 1:
            raise ArithmeticError("of the caller")

{end}
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [("main()", 1), ("frames = upscale_frames(sys.argv[1])\nprint(next(frames).index)\nprint(1)", 0)],
    ids=["an error in the loop", "no loop"],
)
def test_a_program_that_holds_the_iterator_ends(clip: Path, end: str, code: int) -> None:
    program = HOLDS_THE_ITERATOR.format(end=end)
    done = subprocess.run([sys.executable, "-c", program, clip], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (code, "0\n1\n"), done.stderr
    assert ("ArithmeticError: of the caller" in done.stderr) == bool(code)


def test_an_error_in_the_background_reaches_the_loop(tmp_path: Path, upscaler: Upscaler) -> None:
    with pytest.raises(InputError):
        list(upscale_frames(tmp_path / "nowhere.mp4", spec=SPEC, upscaler=upscaler))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_pictures_closer_than_a_millisecond_are_written_and_told(tmp_path: Path, suffix: str) -> None:
    """As where recordings were stitched together; Matroska counts milliseconds."""
    film, result = tmp_path / "film.mp4", tmp_path / f"result{suffix}"
    with av.open(str(film), "w") as container:
        video = container.add_stream("libx264", 25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt, video.time_base = 64, 48, "yuv420p", Fraction(1, 90_000)
        video.codec_context.time_base = Fraction(1, 90_000)
        for number, pts in enumerate((0, 3600, 3620, 3640, 7200, 10_800)):
            picture = flat_picture(0, 16 + 30 * number)
            picture.pts, picture.time_base = pts, Fraction(1, 90_000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    report = upscale_file(film, result, spec=SPEC)
    assert report.ok, report.checks
    assert report.frames_out == 6
    told = "Matroska counts milliseconds: 2 pictures come up to 1.6 ms later"
    assert (told in report.notes) == (suffix == ".mkv"), report.notes
