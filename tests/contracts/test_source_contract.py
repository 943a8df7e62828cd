"""One suite over every source: each picture once and in order, END again and again, planes only written, never kept."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.source import Source
from lipt_stream.media.synthetic import SyntheticSource

Films = dict[str, tuple[Path, list[Fraction]]]
FILES = ["vfr_b_frames.mp4", "ten_bit.mkv", "offset.mp4", "intra.ts", "flower.mp4"]
SYNTHETIC = {
    "synthetic": VideoFormat(width=64, height=48, frame_rate=Fraction(25)),
    "synthetic 10 bit, odd": VideoFormat(width=33, height=17, pix_fmt="yuv420p10le"),
}


@pytest.fixture(params=[*FILES, *SYNTHETIC])
def source_and_times(request: pytest.FixtureRequest, films: Films) -> tuple[Source, list[Fraction] | None, int]:
    name: str = request.param
    if name in SYNTHETIC:
        return SyntheticSource(SYNTHETIC[name], 20), None, 20
    path, times = films[name]
    return FileSource(path), times, len(times)


def read_all(source: Source) -> list[tuple[Frame, int]]:
    """Every frame and the sum of its luma, through one set of planes, as the pipeline's slots do it."""
    planes = source.format.new_planes()
    found: list[tuple[Frame, int]] = []
    while (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        assert all(a is b for a, b in zip(frame.planes, planes, strict=True)), "planes are the caller's own"
        found.append((frame, int(planes[0].astype(np.int64).sum())))
    return found


def test_each_picture_once_in_order_with_its_time(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, times, count = source_and_times
    frames = [frame for frame, _ in read_all(source)]
    source.close()
    assert [frame.index for frame in frames] == list(range(count))
    assert all(a.pts < b.pts for a, b in pairwise(frames))
    if times is not None:
        # An MPEG transport stream starts where its muxer likes; what counts is the distance from its first picture.
        start = times[0] if not isinstance(source, FileSource) or source.path.suffix != ".ts" else None
        got = [frame.pts * source.format.time_base for frame in frames]
        if start is None:
            got, times = [t - got[0] for t in got], [t - times[0] for t in times]
        assert [abs(a - b) <= Fraction(1, 2000) for a, b in zip(got, times, strict=True)] == [True] * count


def test_estimate_is_near(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, times, count = source_and_times
    estimate = source.frame_count_estimate
    source.close()
    steady = times is None or len({b - a for a, b in pairwise(times)}) <= 3
    assert estimate is not None
    assert abs(estimate - count) <= 1 or not steady


def test_end_repeats_and_leaves_planes_alone(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, _, _ = source_and_times
    read_all(source)
    planes = source.format.new_planes()
    assert [source.read(planes) for _ in range(3)] == [END, END, END]
    assert not any(plane.any() for plane in planes)
    source.close()


def test_close_is_idempotent_and_ends_the_film(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, _, _ = source_and_times
    planes = source.format.new_planes()
    assert source.read(planes) is not END
    source.close()
    source.close()
    assert source.read(planes) is END


def test_borrowed_planes_are_not_kept(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    """What the caller does to planes after `read` changes no later picture."""
    source, _, count = source_and_times
    sums: list[int] = []
    planes = source.format.new_planes()
    while source.read(planes) is not END:
        sums.append(int(planes[0].astype(np.int64).sum()))
        for plane in planes:
            plane.fill(7)
    source.close()
    assert len(sums) == count
    assert len(set(sums)) > 1


def test_pictures_are_inside_the_format(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, _, _ = source_and_times
    planes = source.format.new_planes()
    source.read(planes)
    source.close()
    assert planes[0].dtype == source.format.dtype
    assert int(planes[0].max()) < 1 << source.format.bit_depth
    assert planes[0].any()


def test_nothing_is_concealed_in_whole_films(source_and_times: tuple[Source, list[Fraction] | None, int]) -> None:
    source, _, _ = source_and_times
    read_all(source)
    source.close()
    assert source.frames_concealed == 0
    assert len(source.notes) == len(set(source.notes))


@pytest.mark.parametrize("name", ["vfr_b_frames.mp4", "ten_bit.mkv"])
def test_a_film_tells_its_pictures_in_order(films: Films, name: str) -> None:
    """Luma 16 + 4 n, through B-frames and 10 bits, says that picture n is the n-th."""
    source = FileSource(films[name][0])
    scale = 1 << (source.format.bit_depth - 8)
    planes = source.format.new_planes()
    means: list[float] = []
    while source.read(planes) is not END:
        means.append(float(planes[0].mean()) / scale)
    source.close()
    assert [round((mean - 16) / 4) for mean in means] == list(range(len(means)))


def test_sources_of_one_film_agree(films: Films, times_of: Callable[[Path], list[Fraction]]) -> None:
    path, times = films["flower.mp4"]
    assert times_of(path) == times
    first, second = FileSource(path), FileSource(path, threads=1)
    assert [s for _, s in read_all(first)] == [s for _, s in read_all(second)]
    first.close()
    second.close()
