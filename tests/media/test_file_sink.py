from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipt_stream.errors import OutputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from tests.film import read_film

WriteFilm = Callable[..., FileSink]
X264 = choose_encoder("libx264", options={"preset": "ultrafast"})
SMALL = VideoFormat(width=128, height=96, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, 10**7),
    gaps=st.lists(st.integers(90, 300_000), min_size=1, max_size=12),
    unit=st.sampled_from([90_000, 12_800, 60_000, 1_000, 24]),
    suffix=st.sampled_from([".mp4", ".mov"]),
)
def test_any_timestamps_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, start: int, gaps: list[int], unit: int, suffix: str
) -> None:
    """Variable rate, B-frames and an offset: MP4 and MOV give back the very instants."""
    path = tmp_path_factory.mktemp("vfr") / f"film{suffix}"
    format = VideoFormat(width=32, height=32, time_base=Fraction(1, unit), frame_rate=Fraction(25))
    encoder = choose_encoder("libx264", options={"preset": "veryfast"})
    sink = FileSink(path, format, encoder=encoder, copy_from=None)
    pts = [start]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    planes = format.new_planes()
    for index, time in enumerate(pts):
        planes[0][:] = 16 + 7 * index
        sink.write(Frame(index=index, pts=time, duration=100, planes=planes))
    sink.close()
    got, frames = read_film(path)
    assert [frame.pts * got.time_base for frame in frames] == [time * format.time_base for time in pts]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_negative_timestamps_keep_every_picture(write_film: WriteFilm, tmp_path: Path, suffix: str) -> None:
    sink = write_film(f"early{suffix}", pts=[-7200, -3600, 0, 3600, 7200])
    format, frames = read_film(tmp_path / f"early{suffix}")
    got = [frame.pts * format.time_base for frame in frames]
    assert len(frames) == 5
    assert [t - got[0] for t in got] == [Fraction(n, 25) for n in range(5)]
    assert got[0] == 0
    assert "the film begins before zero; all streams are moved by 0.08 s" in sink.notes


SIZES = [(1, 1), (2, 2), (3, 3), (1, 7), (5, 4), (16, 16), (17, 31), (97, 61), (128, 96)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_every_size_comes_out_exactly_or_is_refused_in_words(
    tmp_path: Path, size: tuple[int, int], encoder: str, pix_fmt: str
) -> None:
    format = dataclasses.replace(SMALL, width=size[0], height=size[1], pix_fmt=pix_fmt)  # type: ignore[arg-type]
    path = tmp_path / "film.mkv"
    choice = choose_encoder(encoder, bit_depth=format.bit_depth, suffix=".mkv")
    if min(size) < {"libx264": 1, "libx265": 16, "libsvtav1": 4}[encoder]:
        with pytest.raises(OutputError, match=f"{encoder} does not take pictures of {size[0]}x{size[1]}"):
            FileSink(path, format, encoder=choice, copy_from=None)
        assert list(tmp_path.iterdir()) == []
        return
    sink = FileSink(path, format, encoder=choice, copy_from=None)
    planes = format.new_planes()
    for plane, value in zip(planes, (180, 100, 140), strict=True):
        plane.fill(value << (format.bit_depth - 8))
    for n in range(3):
        sink.write(Frame(index=n, pts=n * 3600, duration=3600, planes=planes))
    sink.close()
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
        assert [(p.width, p.height) for p in pictures] == [size] * 3
        odd = size[0] % 2 or size[1] % 2
        assert ("444" in pictures[0].format.name) <= bool(odd)
        assert any("4:4:4" in note for note in sink.notes) == ("444" in pictures[0].format.name)
        values = [int(np.median(np.from_dlpack(p))) >> (format.bit_depth - 8) for p in pictures[0].planes]
        assert max(abs(a - b) for a, b in zip(values, (180, 100, 140), strict=True)) <= 4


@pytest.mark.parametrize(
    ("name", "words"),
    [("film.mp4", "Give --encoder libx265."), ("film.mkv", "Give --encoder libx265 or ffv1.")],
)
def test_a_size_that_is_too_large_is_refused_with_the_encoder_that_takes_it(
    tmp_path: Path, name: str, words: str
) -> None:
    wide = dataclasses.replace(SMALL, width=16400, height=32)
    with pytest.raises(OutputError, match="libx264 does not take pictures of 16400x32") as refusal:
        FileSink(tmp_path / name, wide, encoder=choose_encoder("libx264"), copy_from=None)
    assert words in str(refusal.value)


def test_twelve_bits_are_kept_where_the_encoder_can_and_said_where_not(write_film: WriteFilm, tmp_path: Path) -> None:
    deep = dataclasses.replace(SMALL, pix_fmt="yuv420p12le")
    write_film("a.mkv", deep, encoder=choose_encoder("libx265", bit_depth=12))
    assert read_film(tmp_path / "a.mkv")[0].pix_fmt == "yuv420p12le"
    sink = write_film("b.mkv", deep, encoder=choose_encoder("libx264", bit_depth=12))
    assert read_film(tmp_path / "b.mkv")[0].pix_fmt == "yuv420p10le"
    assert any("cannot hold 12 bits" in note for note in sink.notes)


def test_an_existing_file_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"exists already\. Give --overwrite"):
        FileSink(path, SMALL, encoder=X264, copy_from=None)
    assert path.read_bytes() == b"precious"
    sink = FileSink(path, SMALL, encoder=X264, copy_from=None, overwrite=True)
    sink.write(Frame(index=0, pts=0, duration=3600, planes=SMALL.new_planes()))
    assert path.read_bytes() == b"precious", "until the new one is whole"
    sink.close()
    assert len(read_film(path)[1]) == 1


def test_a_file_that_appears_meanwhile_is_safe(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    sink = FileSink(path, SMALL, encoder=X264, copy_from=None)
    sink.write(Frame(index=0, pts=0, duration=3600, planes=SMALL.new_planes()))
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        sink.close()
    assert path.read_bytes() == b"precious"
    kept = sink.abort()
    assert kept is not None
    assert len(read_film(kept)[1]) == 1


def test_refusals_before_any_work(tmp_path: Path, clip: Path) -> None:
    def refused(path: Path, words: str, **changes: object) -> None:
        arguments: dict[str, object] = {"encoder": X264, "copy_from": None, **changes}
        with pytest.raises(OutputError, match=words):
            FileSink(path, SMALL, **arguments)  # type: ignore[arg-type]

    refused(tmp_path / "film.avi", r"no container for '.avi'. Use one of .m4v, .mkv")
    refused(tmp_path / "film", "no container for ''")
    refused(tmp_path / "nowhere" / "film.mp4", "folder does not exist")
    refused(tmp_path / "film.webm", "webm does not hold h264 video from libx264. Write to .m4v or .mkv")
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "it is a pipe or a device", overwrite=True)
    (tmp_path / "folder.mp4").mkdir()
    refused(tmp_path / "folder.mp4", "it is a directory")
    own = tmp_path / "own.mp4"
    own.write_bytes(clip.read_bytes())
    refused(own, "it is the source itself", copy_from=own, overwrite=True)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file" / "film.mp4", "not a folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.mp4", "own.mp4", "pipe.mp4"]


def test_closing_without_a_picture_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "film.mp4", SMALL, encoder=X264, copy_from=None)
    with pytest.raises(OutputError, match="no picture came"):
        sink.close()
    assert sink.abort() is None
    assert list(tmp_path.iterdir()) == []


def test_partial_results_are_numbered(tmp_path: Path) -> None:
    for _ in range(2):
        sink = FileSink(tmp_path / "film.mp4", SMALL, encoder=X264, copy_from=None)
        sink.write(Frame(index=0, pts=0, duration=3600, planes=SMALL.new_planes()))
        assert sink.abort() is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.partial-2.mp4", "film.partial.mp4"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lipt_stream.errors import OutputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
format = VideoFormat(width=256, height=192)
encoder = choose_encoder("libx264", options={"preset": "ultrafast", "tune": "zerolatency"})
sink = FileSink(Path(sys.argv[1]), format, encoder=encoder, copy_from=None)
rng = np.random.default_rng(0)
try:
    for n in range(60):
        planes = tuple(rng.integers(16, 235, shape).astype(np.uint8) for shape in format.plane_shapes)
        sink.write(Frame(index=n, pts=n * 3600, duration=3600, planes=planes))
    sink.close()
except OutputError as error:
    print(error)
    print(sink.abort())
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit", [1_000, 100_000, 700_000])
def test_a_file_that_cannot_grow_is_one_clear_line(tmp_path: Path, suffix: str, limit: int) -> None:
    """The kernel's limit on file sizes stands in for a full disk: the same call fails, at the same place."""
    path = tmp_path / f"film{suffix}"
    command = [sys.executable, "-c", FULL_DISK, str(path), str(limit)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = result.stdout.splitlines()
    assert lines[0] == f"Cannot write {path}: the file grew larger than is allowed here. Write to another file system."
    assert result.stderr == ""
    assert not path.exists()
    kept = list(tmp_path.iterdir())
    assert [str(p) for p in kept] == ([] if lines[1] == "None" else [lines[1]])
    if kept:
        assert len(read_film(kept[0])[1]) > 0
    assert suffix == ".mp4" or limit < 100_000 or kept, "Matroska plays without its end"
