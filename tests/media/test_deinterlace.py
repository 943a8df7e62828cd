from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipt_stream.frame import END, Frame
from lipt_stream.media.deinterlace import Deinterlace, Deinterlacer, TimedPicture
from lipt_stream.media.file_source import FileSource

WIDTH, HEIGHT = 96, 64
NOTE = "the video is interlaced; each frame is deinterlaced (bwdif) into one picture"


def moving_bar(time: float) -> NDArray[np.uint8]:
    picture = np.full((HEIGHT, WIDTH), 60, np.uint8)
    left = 8 + int(6 * time) % (WIDTH - 32)
    picture[:, left : left + 16] = 200
    return picture


def woven(index: int, first_row: int) -> NDArray[np.uint8]:
    """Two fields, half a frame apart in time; the earlier one on the rows from `first_row` on."""
    picture = moving_bar(index + 0.5)
    picture[first_row::2] = moving_bar(index)[first_row::2]
    return picture


def encode(path: Path, pictures: list[NDArray[np.uint8]], pts: list[int], field_order: str = "") -> None:
    """Lossless H.264; `field_order` "tff" or "bff" flags every picture and codes it as interlaced."""
    time_base = Fraction(1, 90_000)
    options = {"qp": "0"} | ({"flags": "+ildct+ilme"} if field_order else {})
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = time_base
        for luma, time in zip(pictures, pts, strict=True):
            picture = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for plane, samples in zip(picture.planes, (luma, 128, 128), strict=True):
                np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width] = samples
            picture.pts, picture.time_base = time, time_base
            container.mux(stream.encode(flagged(picture, field_order) if field_order else picture))
        container.mux(stream.encode(None))


def flagged(picture: av.VideoFrame, field_order: str) -> av.VideoFrame:
    """PyAV cannot set the flag of a picture; FFmpeg's setfield filter can."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 90_000)
    )
    graph.link_nodes(source, graph.add("setfield", field_order), graph.add("buffersink")).configure()
    graph.vpush(picture)
    return graph.vpull()


def read(path: Path, deinterlace: Deinterlace = "auto") -> tuple[list[NDArray[np.uint8]], list[Fraction], list[str]]:
    source = FileSource(path, deinterlace=deinterlace)
    planes = source.format.new_planes()
    lumas, times = [], []
    while (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        lumas.append(planes[0].copy())
        times.append(frame.pts * source.format.time_base)
    source.close()
    return lumas, times, source.notes


def combing(luma: NDArray[np.uint8]) -> float:
    rows = luma.astype(int)
    return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())


VFR = [0, 3600, 5000, 12_000, 12_900, 20_000, 31_000, 31_500, 40_000, 60_000]


@pytest.mark.parametrize(("field_order", "first_row"), [("tff", 0), ("bff", 1)])
def test_combs_go_and_count_and_times_stay(tmp_path: Path, field_order: str, first_row: int) -> None:
    pictures = [woven(n, first_row) for n in range(len(VFR))]
    encode(tmp_path / "film.mp4", pictures, VFR, field_order)
    lumas, times, notes = read(tmp_path / "film.mp4")
    assert times == [Fraction(t, 90_000) for t in VFR]
    assert notes.count(NOTE) == 1
    for n, (luma, picture) in enumerate(zip(lumas, pictures, strict=True)):
        assert np.array_equal(luma[first_row::2], picture[first_row::2]), "the first field stays as it is"
        if 0 < n < len(VFR) - 1:
            assert combing(picture) > 5
            assert combing(luma) < combing(picture) / 4
            whole = moving_bar(n).astype(int)
            assert np.abs(luma.astype(int) - whole).mean() < np.abs(picture.astype(int) - whole).mean() / 3


def test_off_leaves_every_sample(tmp_path: Path) -> None:
    pictures = [woven(n, 0) for n in range(6)]
    encode(tmp_path / "film.mkv", pictures, [3600 * n for n in range(6)], "tff")
    lumas, _, notes = read(tmp_path / "film.mkv", "off")
    assert all(np.array_equal(a, b) for a, b in zip(lumas, pictures, strict=True))
    assert "the video is interlaced and stays so, as asked" in notes


def test_on_takes_what_is_not_flagged(tmp_path: Path) -> None:
    pictures = [woven(n, 0) for n in range(6)]
    encode(tmp_path / "film.mkv", pictures, [3600 * n for n in range(6)])
    assert all(np.array_equal(a, b) for a, b in zip(read(tmp_path / "film.mkv")[0], pictures, strict=True))
    lumas, _, _ = read(tmp_path / "film.mkv", "on")
    assert len(lumas) == 6
    assert all(combing(a) < combing(b) / 4 for a, b in zip(lumas[1:-1], pictures[1:-1], strict=True))


def test_a_mixed_film_keeps_its_progressive_pictures(tmp_path: Path) -> None:
    """Progressive, interlaced, progressive again: three streams of H.264, one behind the other."""
    whole = b""
    pictures: list[NDArray[np.uint8]] = []
    for kind in ("", "tff", ""):
        part = [woven(n, 0) if kind else moving_bar(n) for n in range(5)]
        encode(tmp_path / "part.h264", part, [3600 * n for n in range(5)], kind)
        whole += (tmp_path / "part.h264").read_bytes()
        pictures += part
    (tmp_path / "mixed.h264").write_bytes(whole)
    lumas, _, notes = read(tmp_path / "mixed.h264")
    assert len(lumas) == 15
    same = [bool(np.array_equal(a, b)) for a, b in zip(lumas, pictures, strict=True)]
    assert same == [True] * 5 + [False] * 5 + [True] * 5
    assert NOTE in notes


@settings(max_examples=40, deadline=None)
@given(
    flags=st.lists(st.booleans(), max_size=12),
    sizes=st.lists(st.sampled_from([(32, 16), (48, 32)]), min_size=12, max_size=12),
    mode=st.sampled_from(["auto", "off", "on"]),
)
def test_one_picture_out_for_each_in(flags: list[bool], sizes: list[tuple[int, int]], mode: Deinterlace) -> None:
    """Whatever is flagged, and whenever the size changes."""
    pictures = []
    for n, (is_flagged, size) in enumerate(zip(flags, sizes, strict=False)):
        picture = av.VideoFrame(*size, "yuv420p")
        picture.pts, picture.time_base = n, Fraction(1, 90_000)
        for plane in picture.planes:
            np.frombuffer(plane, np.uint8)[:] = n
        pictures.append(flagged(picture, "tff") if is_flagged else picture)
    deinterlacer = Deinterlacer(mode, 1)
    timed = [TimedPicture(picture, 7 * n, picture) for n, picture in enumerate(pictures)]
    out = list(deinterlacer.through(iter(timed)))
    assert [t.pts for t in out] == [7 * n for n in range(len(pictures))]
    assert [t.decoded for t in out] == pictures
    wanted = [mode == "on" or (mode == "auto" and is_flagged) for is_flagged in flags]
    assert [t.shown is not t.decoded for t in out] == wanted
    assert deinterlacer.seen == sum(flags)
    assert [(t.shown.width, t.shown.height) for t in out] == [(p.width, p.height) for p in pictures]


def test_full_range_and_depth_pass_the_filter_unchanged() -> None:
    for pix_fmt in ("yuv420p", "yuvj420p", "yuv420p10le", "yuv422p", "yuv444p", "yuv422p10le", "gray"):
        pictures = []
        for _ in range(4):
            picture = av.VideoFrame(64, 48, pix_fmt)
            picture.color_range = 2
            for plane in picture.planes:
                np.frombuffer(plane, np.uint8)[:] = 3
            pictures.append(picture)
        for timed in Deinterlacer("on", 1).through(TimedPicture(p, n, p) for n, p in enumerate(pictures)):
            assert timed.shown is not timed.decoded
            assert timed.shown.format.name == pix_fmt
            assert timed.shown.color_range == 2
            assert {int(v) for plane in timed.shown.planes for v in np.frombuffer(plane, np.uint8)[:32]} == {3}


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(
    ("pix_fmt", "matrix"),
    [*itertools.product(["uyvy422", "nv12", "p010le", "yuv420p"], [1, 6, 9]), ("yuv420p", 3)],  # 3 is reserved
)
def test_colours_pass_the_filter_unchanged(pix_fmt: str, color_range: int, matrix: int) -> None:
    """Pictures packed as captures are go through a scaler, because bwdif does not take them as they are."""
    pictures = [av.VideoFrame(64, 48, pix_fmt) for _ in range(3)]
    for picture in pictures:
        picture.colorspace, picture.color_range = matrix, color_range
        for plane in picture.planes:
            np.frombuffer(plane, np.uint8)[:] = 80
    for timed in Deinterlacer("on", 1).through(TimedPicture(p, n, p) for n, p in enumerate(pictures)):
        code = 80 if timed.shown.format.components[0].bits == 8 else (80 << 8 | 80) >> 6
        for plane in timed.shown.planes:
            samples = np.frombuffer(plane, np.uint8 if code == 80 else np.uint16)
            assert samples[:32].tolist() == [code] * 32


def test_a_film_of_another_encoder(shared: Path) -> None:
    path = shared / "data/video/torture/SYN_interlaced_tff_h264.mp4"
    woven_lumas, woven_times, _ = read(path, "off")
    lumas, times, notes = read(path)
    assert times == woven_times
    assert len(lumas) == 29
    assert NOTE in notes
    assert sum(map(combing, lumas)) < 0.8 * sum(map(combing, woven_lumas))
