from __future__ import annotations

import av
import numpy as np
import pytest
from av.video.format import VideoFormat as PixelFormat
from numpy.typing import NDArray

from lipt_stream.frame import BT709, BT2020_NCL, SMPTE170M, PixFmt, VideoFormat
from lipt_stream.media.color import Siting, color_tags
from lipt_stream.media.pixels import PictureWriter, PlaneReader, plan_delivery

KR_KB = {BT709: (0.2126, 0.0722), SMPTE170M: (0.299, 0.114), BT2020_NCL: (0.2627, 0.0593)}
BARS = [(255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)]


def color_bars() -> NDArray[np.uint8]:
    """(64, 128, 3) RGB, eight bars 16 wide."""
    return np.repeat(np.repeat(np.array([BARS], np.uint8), 16, axis=1), 64, axis=0)


def studio_yuv(rgb: tuple[int, int, int], matrix: int) -> tuple[float, float, float]:
    """8-bit studio-range Y, Cb, Cr by the definition in H.273."""
    kr, kb = KR_KB[matrix]
    r, g, b = (v / 255 for v in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    return 16 + 219 * y, 128 + 224 * (b - y) / (2 * (1 - kb)), 128 + 224 * (r - y) / (2 * (1 - kr))


@pytest.mark.parametrize("matrix", [BT709, SMPTE170M, BT2020_NCL])
def test_rgb_becomes_yuv_by_the_formats_matrix(matrix: int) -> None:
    picture = av.VideoFrame.from_ndarray(color_bars(), "rgb24")
    format = VideoFormat(width=128, height=64, color_space=matrix)
    planes = format.new_planes()
    PlaneReader(format).copy(picture, planes)
    for bar, rgb in enumerate(BARS):
        expected = studio_yuv(rgb, matrix)
        got = planes[0][32, bar * 16 + 8], planes[1][16, bar * 8 + 4], planes[2][16, bar * 8 + 4]
        assert max(abs(float(a) - b) for a, b in zip(got, expected, strict=True)) <= 1


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv444p", "yuv411p", "nv12", "yuv422p10le", "yuv444p12le", "p010le"])
@pytest.mark.parametrize("color_range", [1, 2])
def test_flat_yuv_of_any_layout_keeps_its_values(pix_fmt: str, color_range: int) -> None:
    """Chroma may be resampled, but neither matrix nor range is touched."""
    source = av.VideoFrame(64, 32, pix_fmt)
    bits = source.format.components[0].bits
    wanted = [v << (bits - 8) for v in (200, 90, 160)]
    shift = 6 if pix_fmt == "p010le" else 0  # the samples sit in the high bits
    for plane, values in zip(
        source.planes, ([wanted[0]], wanted[1:] if len(source.planes) == 2 else [wanted[1]], [wanted[2]]), strict=False
    ):
        samples = np.frombuffer(plane, np.uint16 if bits > 8 else np.uint8)
        samples.reshape(-1, len(values))[:] = [v << shift for v in values]
    source.color_range, source.colorspace = color_range, 1
    delivery = plan_delivery(source.format)
    format = VideoFormat(
        width=64, height=32, pix_fmt=delivery.pix_fmt, color_range="full" if color_range == 2 else "studio"
    )
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    assert format.bit_depth == bits
    assert [int(np.ptp(plane)) for plane in planes] == [0, 0, 0]
    assert [int(plane[0, 0]) for plane in planes] == wanted


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray10le", 10), ("gray12le", 12)])
def test_gray_keeps_its_luma_and_gets_neutral_chroma(pix_fmt: str, bits: int, color_range: int) -> None:
    source = av.VideoFrame(32, 16, pix_fmt)
    np.frombuffer(source.planes[0], np.uint8 if bits == 8 else np.uint16)[:] = 77 << (bits - 8)
    source.color_range = color_range
    delivery = plan_delivery(source.format)
    format = VideoFormat(
        width=32, height=16, pix_fmt=delivery.pix_fmt, color_range="full" if color_range == 2 else "studio"
    )
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    assert [int(plane.min()) for plane in planes] == [int(plane.max()) for plane in planes]
    assert [int(plane[0, 0]) for plane in planes] == [77 << (bits - 8), 128 << (bits - 8), 128 << (bits - 8)]
    assert delivery.is_gray


@pytest.mark.parametrize(
    ("pix_fmt", "delivered", "word"),
    [
        ("yuv420p", "yuv420p", ""),
        ("yuvj420p", "yuv420p", ""),
        ("nv12", "yuv420p", ""),
        ("p010le", "yuv420p10le", ""),
        ("yuv420p9le", "yuv420p10le", ""),
        ("yuv422p10le", "yuv420p10le", "4:2:0"),
        ("yuv444p", "yuv420p", "4:2:0"),
        ("yuv420p16le", "yuv420p12le", "12 bits"),
        ("bgra", "yuv420p", "transparency"),
        ("yuva444p12le", "yuv420p12le", "transparency"),
        ("gbrp", "yuv420p", "4:2:0"),
        ("pal8", "yuv420p", "4:2:0"),
        ("gray", "yuv420p", "neutral chroma"),
    ],
)
def test_delivery_keeps_the_depth_and_says_what_is_lost(pix_fmt: str, delivered: PixFmt, word: str) -> None:
    delivery = plan_delivery(PixelFormat(pix_fmt))
    assert delivery.pix_fmt == delivered
    assert (word in " ".join(delivery.notes)) if word else not delivery.notes


def test_a_picture_of_another_size_is_scaled_to_the_format() -> None:
    source = av.VideoFrame(50, 40, "yuv420p")
    for plane, value in zip(source.planes, (180, 100, 140), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    format = VideoFormat(width=33, height=21)
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    assert [int(np.ptp(p)) for p in planes] == [0, 0, 0]
    assert [int(p[0, 0]) for p in planes] == [180, 100, 140]


@pytest.mark.parametrize(
    ("size", "matrix"),
    [((768, 576), SMPTE170M), ((16, 577), BT709), ((1279, 544), SMPTE170M), ((1280, 544), BT709), ((720, 1280), BT709)],
)
def test_an_unspecified_matrix_follows_the_size(size: tuple[int, int], matrix: int) -> None:
    tags = color_tags(av.VideoFrame(*size, "yuv420p"), "h264", None)
    assert tags.matrix == matrix
    assert "assumed" in tags.notes[0]
    assert tags.range == "studio"


def test_bt2020_primaries_mean_the_bt2020_matrix() -> None:
    picture = av.VideoFrame(16, 16, "yuv420p10le")
    picture.color_primaries = 9
    tags = color_tags(picture, "hevc", None)
    assert (tags.matrix, tags.chroma_location) == (BT2020_NCL, "topleft")


@pytest.mark.parametrize("pix_fmt", ["yuv422p", "yuv422p10le", "yuv444p", "yuv420p"])
@pytest.mark.parametrize("stated", ["left", "topleft", "center", None])
def test_chroma_lies_where_the_siting_says(pix_fmt: str, stated: str | None) -> None:
    """MPEG-2's decoder says "topleft" of 4:2:2 too, which says nothing of lines: each has its own chroma."""
    source = av.VideoFrame(32, 64, pix_fmt)
    has_every_line = source.format.chroma_height(64) == 64
    source.colorspace = BT2020_NCL
    first_line, step = (0.0, 1) if has_every_line else (0.0 if stated in ("topleft", None) else 0.5, 2)
    unit = 4 if "10" in pix_fmt else 1
    for n, plane in enumerate(source.planes):
        lines = first_line + step * np.arange(plane.height)
        samples = np.frombuffer(plane, np.uint16 if unit == 4 else np.uint8)
        samples.reshape(plane.height, -1)[:] = unit * (20 + 3 * lines[:, None] if n else 100)
    tags = color_tags(source, "mpeg2video", stated)
    pix: PixFmt = "yuv420p" if unit == 1 else "yuv420p10le"
    format = VideoFormat(width=32, height=64, pix_fmt=pix, color_space=tags.matrix)
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    lies_at = (planes[1][4:-4, 8] / unit - 20) / 3 - 2 * np.arange(4, 28)  # against its own first line of two
    assert np.abs(lies_at - (0 if tags.chroma_location == "topleft" else 0.5)).max() < 0.25


@pytest.mark.parametrize(("width", "siting"), [(61, "left"), (62, "left"), (63, "left"), (64, "left"), (64, "center")])
def test_chroma_of_dv_lies_on_the_first_pixel_of_four(width: int, siting: Siting) -> None:
    source = av.VideoFrame(width, 16, "yuv411p")
    begin = 0.0 if siting == "left" else 1.5
    for n, plane in enumerate(source.planes):
        samples = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]
        samples[:] = 20 + 3 * (begin + 4 * np.arange(plane.width)) if n else 100
    format = VideoFormat(width=width, height=16, chroma_location=siting)
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    lies_at = (planes[1][4].astype(float) - 20) / 3 - 2 * np.arange(planes[1].shape[1])
    assert np.abs(lies_at - (0 if siting == "left" else 0.5))[4:-4].max() < 0.3
    assert planes[0].min() == planes[0].max() == 100


def test_the_writer_gives_planes_back_unchanged_and_owns_its_picture() -> None:
    format = VideoFormat(width=35, height=19, pix_fmt="yuv420p10le")
    rng = np.random.default_rng(0)
    y, u, v = (rng.integers(0, 1024, shape).astype(np.uint16) for shape in format.plane_shapes)
    writer = PictureWriter(format, format.pix_fmt)
    picture = writer.fill((y, u, v))
    for plane, samples in zip(picture.planes, (y, u, v), strict=True):
        assert np.array_equal(np.from_dlpack(plane), samples)
        samples.fill(0)
        assert np.from_dlpack(plane).any()


@pytest.mark.parametrize("size", [(65, 43), (64, 43), (1, 1), (2, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_the_writer_leaves_chroma_where_it_lies(siting: Siting, pix_fmt: PixFmt, size: tuple[int, int]) -> None:
    format = VideoFormat(width=size[0], height=size[1], pix_fmt=pix_fmt, chroma_location=siting)
    y, u, v = format.new_planes()
    across = 2 * np.arange(u.shape[1]) + (0.5 if siting == "center" else 0)
    down = 2 * np.arange(u.shape[0]) + (0 if siting == "topleft" else 0.5)
    u[:], v[:] = 20 + 2 * across[None], 20 + 2 * down[:, None]
    y[:] = 77
    picture = PictureWriter(format, pix_fmt.replace("420", "444")).fill((y, u, v))
    luma, blue, red = (np.from_dlpack(plane).astype(float) for plane in picture.planes)
    assert (luma == 77).all()
    inside = slice(1, -2) if min(size) > 2 else slice(0, 0)  # edges replicate
    assert (blue[inside, inside] == 20 + 2 * np.arange(size[0])[None, inside]).all()
    assert (red[inside, inside] == 20 + 2 * np.arange(size[1])[inside, None]).all()


def test_rgb_to_10_bits_is_the_same_each_time() -> None:
    """With several threads swscale left lines unwritten now and then, in small pictures most often."""
    noise = np.random.default_rng(0).integers(0, 65536, (34, 62, 3), np.uint16)
    picture = av.VideoFrame.from_ndarray(noise, "rgb48le")
    format = VideoFormat(width=62, height=34, pix_fmt="yuv420p10le")
    seen: set[bytes] = set()
    for _ in range(100):
        planes = format.new_planes()
        PlaneReader(format).copy(picture, planes)
        seen.add(b"".join(plane.tobytes() for plane in planes))
    assert len(seen) == 1


KR_KB = {BT709: (0.2126, 0.0722), SMPTE170M: (0.299, 0.114), BT2020_NCL: (0.2627, 0.0593)}


def converted(codes: tuple[int, int, int], matrices: tuple[int, int], full: tuple[bool, bool]) -> list[float]:
    """YUV to YUV by H.273's formulas, 8 bits."""
    (kr, kb), (black, white, span) = KR_KB[matrices[0]], (0, 255, 255) if full[0] else (16, 219, 224)
    y, u, v = (codes[0] - black) / white, (codes[1] - 128) / span, (codes[2] - 128) / span
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    g = (y - kr * r - kb * b) / (1 - kr - kb)
    (kr, kb), (black, white, span) = KR_KB[matrices[1]], (0, 255, 255) if full[1] else (16, 219, 224)
    y = kr * r + (1 - kr - kb) * g + kb * b
    return [black + white * y, 128 + span * (b - y) / 2 / (1 - kb), 128 + span * (r - y) / 2 / (1 - kr)]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv420p10le"])
@pytest.mark.parametrize("full", [(False, False), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("matrices", [(BT709, BT709), (SMPTE170M, BT709), (BT709, SMPTE170M), (BT2020_NCL, BT709)])
def test_pictures_of_another_matrix_or_range_are_converted(
    pix_fmt: str, full: tuple[bool, bool], matrices: tuple[int, int]
) -> None:
    """A stream's tags may change; what is written has those of its beginning."""
    deep = pix_fmt.endswith("10le")
    source, codes = av.VideoFrame(32, 16, pix_fmt), (110, 150, 90)
    for plane, code in zip(source.planes, codes, strict=True):
        np.frombuffer(plane, np.uint16 if deep else np.uint8)[:] = code << 2 if deep else code
    source.colorspace, source.color_range = matrices[0], 2 if full[0] else 1
    format = VideoFormat(
        width=32,
        height=16,
        pix_fmt="yuv420p10le" if deep else "yuv420p",
        color_space=matrices[1],
        color_range="full" if full[1] else "studio",
    )
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    got = [float(plane.mean()) / (4 if deep else 1) for plane in planes]
    assert np.abs(np.subtract(got, converted(codes, matrices, full))).max() <= 1


def test_an_untagged_picture_is_like_those_before_it() -> None:
    source = av.VideoFrame(32, 16, "yuv420p")
    for plane, code in zip(source.planes, (110, 150, 90), strict=True):
        np.frombuffer(plane, np.uint8)[:] = code
    format = VideoFormat(width=32, height=16, color_space=BT2020_NCL, color_range="full")
    planes = format.new_planes()
    PlaneReader(format).copy(source, planes)
    assert [int(plane[0, 0]) for plane in planes] == [110, 150, 90]
