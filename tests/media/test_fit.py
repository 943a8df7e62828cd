from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lipt_stream.frame import BT709, SMPTE170M, PixFmt, Planes, VideoFormat
from lipt_stream.media.fit import Fit
from lipt_stream.media.pixels import PictureWriter

FORMAT = VideoFormat(width=320, height=180, color_space=SMPTE170M)


def flat(width: int, height: int, pix_fmt: str, y: int, u: int, v: int) -> av.VideoFrame:
    """A planar or semi-planar picture of one colour; values of its own bit depth."""
    picture = av.VideoFrame(width, height, pix_fmt)
    for plane, values in zip(picture.planes, [[y], [u, v]] if pix_fmt == "nv12" else [[y], [u], [v]], strict=False):
        samples = np.frombuffer(plane, np.uint16 if picture.format.components[0].bits > 8 else np.uint8)
        samples[: samples.size // len(values) * len(values)].reshape(-1, len(values))[:] = values
    return picture


def dirty_planes(format: VideoFormat) -> Planes:
    """As a slot's are, that held another picture before."""
    planes = format.new_planes()
    for plane in planes:
        plane.fill(77)
    return planes


def test_a_picture_of_the_format_is_copied_to_the_bit() -> None:
    rng = np.random.default_rng(1)
    samples = tuple(rng.integers(0, 256, shape, np.uint8) for shape in FORMAT.plane_shapes)
    picture = PictureWriter(FORMAT, "yuv420p").fill((samples[0], samples[1], samples[2]))
    planes, fit = dirty_planes(FORMAT), Fit(FORMAT)
    fit.copy(picture, planes)
    assert all(np.array_equal(a, b) for a, b in zip(samples, planes, strict=True))
    assert fit.notes == []


@pytest.mark.parametrize(
    ("size", "inside"),
    [
        ((640, 360), (0, 0, 320, 180)),
        ((320, 240), (40, 0, 240, 180)),
        ((180, 320), (110, 0, 100, 180)),
        ((640, 240), (0, 30, 320, 120)),
    ],
)
def test_another_shape_stands_in_the_middle_between_black_bars(
    size: tuple[int, int], inside: tuple[int, int, int, int]
) -> None:
    planes, fit = dirty_planes(FORMAT), Fit(FORMAT)
    fit.copy(flat(*size, "yuv420p", 200, 90, 160), planes)
    left, top, width, height = inside
    for plane, part, picture, black in zip(planes, (1, 2, 2), (200, 90, 160), (16, 128, 128), strict=True):
        expected = np.full(plane.shape, black, np.uint8)
        expected[top // part : (top + height) // part, left // part : (left + width) // part] = picture
        assert np.array_equal(plane, expected)
    assert fit.notes[0].startswith(f"pictures of {size[0]}x{size[1]} are scaled to 320x180")
    assert ("black bars" in fit.notes[0]) == (inside != (0, 0, 320, 180))


@pytest.mark.parametrize("size", [(320, 180), (640, 360)])
def test_ten_bits_become_eight_and_are_noted_once(size: tuple[int, int]) -> None:
    planes, fit = dirty_planes(FORMAT), Fit(FORMAT)
    for _ in range(3):
        fit.copy(flat(*size, "yuv420p10le", 800, 360, 640), planes)
    assert [int(plane[50, 50]) for plane in planes] == [200, 90, 160]
    assert fit.notes.count("yuv420p10le is converted to yuv420p") == 1


@pytest.mark.parametrize("size", [(320, 180), (1280, 720)])
def test_the_colour_stays_where_the_matrix_changes(size: tuple[int, int]) -> None:
    """Pure red of BT.709 is pure red in the session's BT.601."""
    picture = flat(*size, "yuv420p", 63, 102, 240)
    picture.colorspace = BT709
    planes = dirty_planes(FORMAT)
    Fit(FORMAT).copy(picture, planes)
    assert [int(plane[50, 50]) for plane in planes] == pytest.approx([81, 90, 240], abs=2)


def test_full_range_becomes_the_sessions() -> None:
    planes = dirty_planes(FORMAT)
    Fit(FORMAT).copy(flat(320, 180, "yuvj420p", 255, 128, 128), planes)
    assert planes[0][50, 50] == 235
    full, planes = VideoFormat(width=320, height=180, color_space=SMPTE170M, color_range="full"), dirty_planes(FORMAT)
    Fit(full).copy(flat(180, 320, "yuv420p", 235, 128, 128), planes)
    assert (planes[0][50, 160], planes[0][50, 2]) == (255, 0)


@settings(max_examples=60)
@example(width=2, height=7, outer=(16, 16), pix_fmt="yuvj420p", depth="yuv420p10le")
@example(width=3, height=8, outer=(200, 200), pix_fmt="yuvj420p", depth="yuv420p10le")
@given(
    width=st.integers(2, 200),
    height=st.integers(2, 200),
    outer=st.tuples(st.integers(16, 200), st.integers(16, 200)),
    pix_fmt=st.sampled_from(["yuv420p", "yuv422p", "yuv444p10le", "nv12", "rgb24", "yuvj420p"]),
    depth=st.sampled_from(["yuv420p", "yuv420p10le"]),
)
def test_every_sample_is_written_whatever_comes(
    width: int, height: int, outer: tuple[int, int], pix_fmt: str, depth: PixFmt
) -> None:
    """Black in, black out: bars and picture alike, whatever was there before."""
    format = VideoFormat(width=outer[0], height=outer[1], pix_fmt=depth)
    rgb = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), "rgb24")
    picture = VideoReformatter().reformat(rgb, format=pix_fmt, threads=1)
    planes = dirty_planes(format)
    Fit(format).copy(picture, planes)
    step = 1 << (format.bit_depth - 8)
    for plane, black in zip(planes, (16, 128, 128), strict=True):
        assert np.abs(plane.astype(int) - step * black).max() <= 1.5 * step


def test_a_source_that_changes_to_and_fro_keeps_its_notes_few() -> None:
    fit, planes = Fit(FORMAT), dirty_planes(FORMAT)
    for n in range(20):
        fit.copy(flat(64 + 32 * (n % 5), 64, "yuv420p", 50 + n, 128, 128), planes)
        assert planes[0][90, 160] == 50 + n
    assert len(fit.notes) == 5
