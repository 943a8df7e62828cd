"""One suite over every sink, and every encoder and container that a file sink writes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.null_sink import NullSink
from lipt_stream.media.sink import Sink
from lipt_stream.media.synthetic import SyntheticSource, stamped_index

EIGHT = VideoFormat(width=128, height=96, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))
TEN = dataclasses.replace(EIGHT, pix_fmt="yuv420p10le")
VFR = [0, 3600, 3690, 9000, 9045, 20_007, 26_010, 33_003, 50_031, 50_130, 61_200, 90_000, 93_600, 180_000]


@dataclass(frozen=True)
class Case:
    suffix: str
    encoder: str
    format: VideoFormat
    tick: Fraction  # the container's own resolution of time


MS = Fraction(1, 1000)
CASES = [
    Case(".mp4", "libx264", EIGHT, Fraction(0)),
    Case(".mov", "libx264", TEN, Fraction(0)),
    Case(".mkv", "libx264", EIGHT, MS),
    Case(".mp4", "libx265", EIGHT, Fraction(0)),
    Case(".mkv", "libx265", TEN, MS),
    Case(".mp4", "libsvtav1", EIGHT, Fraction(0)),
    Case(".webm", "libsvtav1", TEN, MS),
    Case(".mkv", "ffv1", TEN, MS),
]
IDS = [f"{case.encoder}{case.suffix} {case.format.bit_depth} bit" for case in CASES]


def open_sink(case: Case | None, folder: Path) -> Sink:
    if case is None:
        return NullSink(EIGHT)
    encoder = choose_encoder(case.encoder, bit_depth=case.format.bit_depth, suffix=case.suffix)
    return FileSink(folder / f"film{case.suffix}", case.format, encoder=encoder, copy_from=None)


def write_pattern(sink: Sink, format: VideoFormat, pts: list[int], last_duration: int = 4500) -> None:
    """The test pattern at the given times, through one set of planes that is wiped after each write."""
    source = SyntheticSource(format, len(pts))
    planes = format.new_planes()
    durations = [b - a for a, b in pairwise(pts)] + [last_duration]
    for time, duration in zip(pts, durations, strict=True):
        frame = source.read(planes)
        assert isinstance(frame, Frame)
        frame.pts, frame.duration = time, duration
        sink.write(frame)
        for plane in planes:
            plane.fill(0)


def read_back(path: Path) -> tuple[VideoFormat, list[Fraction], list[int]]:
    source = FileSource(path)
    planes = source.format.new_planes()
    frames: list[Frame] = []
    stamps: list[int] = []
    while (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        frames.append(frame)
        stamps.append(stamped_index(planes[0], source.format.bit_depth))
    source.close()
    return source.format, [frame.pts * source.format.time_base for frame in frames], stamps


def end_of(path: Path) -> Fraction:
    """When the film ends, in seconds, by the container's own word."""
    with av.open(str(path)) as container:
        assert container.duration is not None
        return Fraction((container.start_time or 0) + container.duration, av.time_base)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_each_picture_once_with_its_time(case: Case, tmp_path: Path) -> None:
    sink = open_sink(case, tmp_path)
    write_pattern(sink, case.format, VFR)
    sink.close()
    format, times, stamps = read_back(tmp_path / f"film{case.suffix}")
    assert sink.frames_written == len(VFR)
    assert stamps == list(range(len(VFR)))
    expected = [time * case.format.time_base for time in VFR]
    assert max(abs(a - b) for a, b in zip(times, expected, strict=True)) <= case.tick / 2
    assert (format.width, format.height, format.pix_fmt) == (
        case.format.width,
        case.format.height,
        case.format.pix_fmt,
    )
    end = (VFR[-1] + 4500) * case.format.time_base
    assert abs(end_of(tmp_path / f"film{case.suffix}") - end) <= case.tick + Fraction(1, 1_000_000), "the last duration"


@pytest.mark.parametrize("case", [None, *CASES], ids=["null", *IDS])
def test_close_twice_then_abort_changes_nothing(case: Case | None, tmp_path: Path) -> None:
    sink = open_sink(case, tmp_path)
    write_pattern(sink, case.format if case else EIGHT, VFR[:3])
    sink.close()
    sink.close()
    assert sink.abort() is None
    names = [path.name for path in tmp_path.iterdir()]
    assert names == ([f"film{case.suffix}"] if case else [])


@pytest.mark.parametrize("case", [None, *CASES], ids=["null", *IDS])
def test_abort_without_a_picture_leaves_nothing(case: Case | None, tmp_path: Path) -> None:
    sink = open_sink(case, tmp_path)
    assert sink.abort() is None
    assert sink.abort() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_abort_keeps_what_was_done_under_a_partial_name(case: Case, tmp_path: Path) -> None:
    sink = open_sink(case, tmp_path)
    write_pattern(sink, case.format, VFR[:9])
    kept = sink.abort()
    assert kept == tmp_path / f"film.partial{case.suffix}"
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]
    _, _, stamps = read_back(kept)
    assert stamps == list(range(9))


@pytest.mark.parametrize("case", [None, CASES[0]], ids=["null", IDS[0]])
def test_notes_are_said_once(case: Case | None, tmp_path: Path) -> None:
    sink = open_sink(case, tmp_path)
    write_pattern(sink, EIGHT, VFR[:2])
    sink.close()
    assert len(sink.notes) == len(set(sink.notes))


def test_the_null_sink_refuses_planes_of_another_shape() -> None:
    sink = NullSink(EIGHT)
    planes = dataclasses.replace(EIGHT, width=64).new_planes()
    with pytest.raises(ValueError, match="planes of"):
        sink.write(Frame(index=0, pts=0, duration=0, planes=planes))
    assert sink.frames_written == 0


def test_lossless_is_lossless(tmp_path: Path) -> None:
    """FFV1 gives every sample back: nothing between planes and file, or file and planes, changes one."""
    encoder = choose_encoder("ffv1", bit_depth=10, suffix=".mkv")
    sink = FileSink(tmp_path / "film.mkv", TEN, encoder=encoder, copy_from=None)
    write_pattern(sink, TEN, VFR)
    sink.close()
    got, expected = FileSource(tmp_path / "film.mkv"), SyntheticSource(TEN, len(VFR))
    a, b = TEN.new_planes(), TEN.new_planes()
    for _ in VFR:
        assert got.read(a) is not END
        assert expected.read(b) is not END
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    got.close()
