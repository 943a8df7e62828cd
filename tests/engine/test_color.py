"""YUV 4:2:0 <-> RGB in torch: against the standard's numbers, against swscale, and against its own inverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lipt_stream.engine.color import DevicePlanes, TorchColors, make_colors
from lipt_stream.errors import InputError
from lipt_stream.frame import VideoFormat

CPU = torch.device("cpu")
MATRICES = (1, 4, 5, 6, 7, 9)
RANGES = ("studio", "full")
PIX_FMTS = ("yuv420p", "yuv420p10le", "yuv420p12le")
SITINGS = ("left", "center", "topleft")
EXACT = (
    Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

formats = st.builds(
    VideoFormat,
    width=st.integers(1, 33),
    height=st.integers(1, 33),
    pix_fmt=st.sampled_from(PIX_FMTS),
    color_space=st.sampled_from(MATRICES),
    color_range=st.sampled_from(RANGES),
    chroma_location=st.sampled_from(SITINGS),
)


def tensors(planes: tuple[np.ndarray, ...]) -> DevicePlanes:
    y, u, v = (torch.from_numpy(np.ascontiguousarray(plane)) for plane in planes)
    return y, u, v


def to_rgb(video: VideoFormat, planes: tuple[np.ndarray, ...]) -> Tensor:
    rgb = torch.full((1, 3, video.height, video.width), torch.nan)
    TorchColors(video, video, CPU).to_rgb(tensors(planes), rgb)
    return rgb


def to_planes(video: VideoFormat, rgb: Tensor) -> tuple[np.ndarray, ...]:
    planes = video.new_planes()
    TorchColors(video, video, CPU).to_planes(rgb, tensors(planes))  # the tensors share the arrays' memory
    return planes


def differences(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> list[int]:
    return [int(np.abs(x.astype(int) - y.astype(int)).max()) for x, y in zip(a, b, strict=True)]


def colour_bars(height: int, bar_width: int) -> Tensor:
    """(1, 3, height, 8 * bar_width): white, yellow, cyan, green, magenta, red, blue, black at 75 and 100 %."""
    full = torch.tensor([[1, 1, 0, 0, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 0, 1, 0, 1, 0]]).float()
    row = full.repeat_interleave(bar_width, 1)[:, None]
    return torch.cat([0.75 * row.expand(-1, height // 2, -1), row.expand(-1, height - height // 2, -1)], 1)[None]


def inside_bars(bar_width: int, height: int) -> np.ndarray:
    """Mask (height, 8 * bar_width) of what lies at least four pixels from any edge between colours."""
    columns = np.arange(8 * bar_width) % bar_width
    rows = np.arange(height)
    flat_x = (columns >= 4) & (columns < bar_width - 4)
    flat_y = np.abs(rows + 0.5 - height // 2) > 4
    return flat_y[:, None] & flat_x[None]


@pytest.mark.parametrize(
    ("color_space", "color_range", "pix_fmt", "codes", "rgb"),
    [
        (1, "studio", "yuv420p", (235, 128, 128), (1, 1, 1)),
        (1, "studio", "yuv420p", (16, 128, 128), (0, 0, 0)),
        (1, "full", "yuv420p", (255, 128, 128), (1, 1, 1)),
        (6, "studio", "yuv420p", (81, 90, 240), (1, 0, 0)),  # the well known red of BT.601
        (1, "studio", "yuv420p", (63, 102, 240), (1, 0, 0)),  # and of BT.709
        (6, "studio", "yuv420p", (41, 240, 110), (0, 0, 1)),
        (9, "studio", "yuv420p10le", (940, 512, 512), (1, 1, 1)),
        (9, "studio", "yuv420p10le", (294, 387, 960), (1, 0, 0)),
        (9, "full", "yuv420p12le", (4095, 2048, 2048), (1, 1, 1)),
    ],
)
def test_codes_of_the_standards(color_space, color_range, pix_fmt, codes, rgb):
    video = VideoFormat(width=6, height=4, pix_fmt=pix_fmt, color_space=color_space, color_range=color_range)
    planes = video.new_planes()
    for plane, code in zip(planes, codes, strict=True):
        plane[:] = code
    expected = torch.tensor(rgb).float()[None, :, None, None].expand(1, 3, 4, 6)
    assert (to_rgb(video, planes) - expected).abs().max() < 1.5 / 219  # one code in three bounds the codes' rounding
    assert differences(to_planes(video, expected), planes) == [0, 0, 0]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("color_range", RANGES)
@pytest.mark.parametrize("color_space", [1, 4, 5, 7, 9])
def test_colour_bars_agree_with_swscale(color_space, color_range, pix_fmt):
    """Flat areas of colour bars, each way on its own, within 1 of 255. swscale is the independent implementation."""
    rgb_format = "gbrp" if pix_fmt == "yuv420p" else "gbrp10le"  # planar: its packed 48 bit output wraps around
    video = VideoFormat(width=192, height=64, pix_fmt=pix_fmt, color_space=color_space, color_range=color_range)
    top = 2**video.bit_depth - 1
    av_range = ColorRange.MPEG if color_range == "studio" else ColorRange.JPEG
    bars = (colour_bars(64, 24) * top).round() / top
    flat = inside_bars(24, 64)

    ours = to_planes(video, bars)
    gbr = [(bars[0, c].numpy() * top).round().astype(video.dtype) for c in (1, 2, 0)]
    swscale = VideoReformatter().reformat(
        frame_of(video.width, video.height, rgb_format, gbr),
        format=pix_fmt,
        interpolation=EXACT,
        dst_colorspace=color_space,
        src_color_range=ColorRange.JPEG,
        dst_color_range=av_range,
    )
    for index, (plane, inner) in enumerate(zip(ours, (flat, flat[::2, ::2], flat[::2, ::2]), strict=True)):
        difference = np.abs(plane_array(swscale, index).astype(int) - plane.astype(int))[inner]
        assert difference.max() * 255 / top <= 1.0

    swscale = VideoReformatter().reformat(
        frame_of(video.width, video.height, pix_fmt, ours),
        format=rgb_format,
        interpolation=EXACT,
        src_colorspace=color_space,
        src_color_range=av_range,
        dst_color_range=ColorRange.JPEG,
    )
    rgb = to_rgb(video, ours)[0]
    for index, channel in enumerate((1, 2, 0)):
        difference = np.abs(plane_array(swscale, index) / top - rgb[channel].clamp(0, 1).numpy())[flat]
        assert difference.max() * 255 <= 1.0
    quantisation = 0.5 * 255 / top * (255 / 219) * (1 + 1.88)  # half a code of luma, half a code of chroma
    assert (rgb - bars[0]).abs().numpy()[:, flat].max() * 255 <= quantisation


def plane_array(frame: av.VideoFrame, index: int) -> np.ndarray:
    plane = frame.planes[index]
    dtype = np.uint8 if frame.format.components[0].bits == 8 else np.dtype("<u2")
    return np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]


def frame_of(width: int, height: int, name: str, planes: Sequence[np.ndarray]) -> av.VideoFrame:
    frame = av.VideoFrame(width, height, name)
    for index, samples in enumerate(planes):
        plane = frame.planes[index]
        rows = np.zeros((plane.height, plane.line_size // samples.itemsize), samples.dtype)
        rows[:, : samples.shape[1]] = samples
        plane.update(rows)
    return frame


@given(formats, st.data())
def test_grays_stay_gray(video, data):
    planes = video.new_planes()
    planes[0][:] = data.draw(st.integers(0, 2**video.bit_depth - 1))
    for plane in planes[1:]:
        plane[:] = 2 ** (video.bit_depth - 1)
    rgb = to_rgb(video, planes)
    assert (rgb.amax(1) - rgb.amin(1)).max() < 1e-6
    assert differences(to_planes(video, rgb), planes) == [0, 0, 0]


@given(formats, st.data())
def test_flat_codes_survive_an_identity_network_exactly(video, data):
    """Any code of any plane, colours that RGB 0..1 does not hold included: nothing is clamped on the way."""
    planes = video.new_planes()
    for plane in planes:
        plane[:] = data.draw(st.integers(0, 2**video.bit_depth - 1))
    assert differences(to_planes(video, to_rgb(video, planes)), planes) == [0, 0, 0]


@pytest.mark.parametrize("siting", SITINGS)
@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
@pytest.mark.parametrize("color_range", RANGES)
def test_smooth_content_survives_an_identity_network(color_range, pix_fmt, siting):
    video = VideoFormat(width=161, height=93, pix_fmt=pix_fmt, color_range=color_range, chroma_location=siting)
    planes = video.new_planes()
    top = 2**video.bit_depth - 1
    period = 60.0 if video.bit_depth == 8 else 400.0  # as steep in codes per sample as 8 bits are
    for phase, plane in enumerate(planes):
        y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
        plane[:] = np.round(top * (0.5 + 0.35 * np.sin(phase + x / period) * np.cos(y / period)))
    luma, *chroma = differences(to_planes(video, to_rgb(video, planes)), planes)
    assert luma == 0
    assert max(chroma) <= 1


@pytest.mark.parametrize("siting", SITINGS)
def test_a_ramp_of_chroma_stays_where_its_samples_lie(siting):
    """Linear filters keep a linear ramp, provided that they agree on where each chroma sample lies."""
    video = VideoFormat(width=40, height=24, chroma_location=siting, pix_fmt="yuv420p12le")
    at_x = 0.0 if siting != "center" else 0.5
    at_y = 0.0 if siting == "topleft" else 0.5
    planes = video.new_planes()
    planes[0][:] = 2000
    planes[1][:] = 2048
    j, i = np.mgrid[:12, :20]
    planes[2][:] = 1200 + 20 * (2 * i + at_x) + 30 * (2 * j + at_y)  # whole numbers, whatever the siting
    rgb = to_rgb(video, planes)
    y, x = np.mgrid[:24, :40]
    v_per_red = 2 * (1 - 0.2126) / (224 * 16)
    expected = (2000 - 256) / (219 * 16) + v_per_red * (1200 + 20 * x + 30 * y - 2048)
    inner = np.s_[2:-2, 2:-2]
    np.testing.assert_allclose(rgb[0, 0].numpy()[inner], expected[inner], atol=1e-5)
    assert differences(tuple(p[1:-1, 1:-1] for p in to_planes(video, rgb)), tuple(p[1:-1, 1:-1] for p in planes)) == [
        0,
        0,
        0,
    ]


def test_left_sited_chroma_of_an_edge_is_weighted_one_two_one():
    video = VideoFormat(width=8, height=2, color_range="full")
    rgb = torch.zeros(1, 3, 2, 8)
    rgb[..., 4:] = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    red_v = 255 * 0.5 + 128
    expected = [128 + w * (red_v - 128) for w in (0, 0, 0.75, 1)]  # pixel 3 is black, 4 and 5 are red
    np.testing.assert_array_equal(to_planes(video, rgb)[2][0], np.minimum(np.floor(np.array(expected) + 0.5), 255))


def test_edges_replicate_at_odd_sizes():
    video = VideoFormat(width=5, height=3, chroma_location="center", pix_fmt="yuv420p12le")
    planes = video.new_planes()
    planes[0][:] = 2000
    planes[1][:] = 2048
    planes[2][:] = np.array([[1000, 1000, 3000]] * 2)
    red = to_rgb(video, planes)[0, 0]
    weight = (red - red[0, 0]) / (red[0, 4] - red[0, 0])
    # chroma samples lie at 0.5, 2.5 and 4.5: pixel 4 is a quarter on its way back from 4.5 to 2.5
    np.testing.assert_allclose(weight[0].numpy() * 0.75, [0, 0, 0, 0.25, 0.75], atol=1e-5)


def test_what_does_not_fit_is_clamped_to_the_code_range():
    video = VideoFormat(width=4, height=4)
    white = to_planes(video, torch.full((1, 3, 4, 4), 9.0))
    black = to_planes(video, torch.full((1, 3, 4, 4), -9.0))
    assert [int(plane.max()) for plane in white] == [255, 128, 128]
    assert [int(plane.min()) for plane in black] == [0, 128, 128]


def test_source_and_target_may_differ_in_everything():
    """A 10-bit BT.2020 source into an 8-bit full-range BT.709 target at twice the size: white, gray and black hold."""
    source = VideoFormat(width=4, height=2, pix_fmt="yuv420p10le", color_space=9)
    target = VideoFormat(width=8, height=4, color_range="full", chroma_location="center", frame_rate=Fraction(25))
    colors = make_colors(source, target, CPU)
    planes, out = source.new_planes(), target.new_planes()
    planes[0][:] = [64, 504, 940, 940]
    planes[1][:] = planes[2][:] = 512
    rgb = torch.empty(1, 3, 2, 4)
    colors.to_rgb(tensors(planes), rgb)
    colors.to_planes(rgb.repeat_interleave(2, 2).repeat_interleave(2, 3), tensors(out))
    assert out[0][0].tolist() == [0, 0, 128, 128, 255, 255, 255, 255]
    assert {int(c) for plane in out[1:] for c in plane.flat} == {128}


def test_buffers_are_reused_without_traces_of_the_frame_before():
    video = VideoFormat(width=7, height=5, chroma_location="topleft")
    colors = TorchColors(video, video, CPU)
    frames = [torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 1)]
    results = []
    for rgb in frames:
        planes = video.new_planes()
        colors.to_planes(rgb, tensors(planes))
        again = torch.empty_like(rgb)
        colors.to_rgb(tensors(planes), again)
        results.append((planes, again))
    assert differences(results[0][0], results[2][0]) == [0, 0, 0]
    assert torch.equal(results[0][1], results[2][1])


@given(formats)
def test_every_storage_and_memory_layout_gives_the_same(video):
    """uint16 or int16 samples; RGB contiguous, channels last, or a window of something larger; half precision."""
    generator = torch.Generator().manual_seed(3)
    rgb = torch.rand(1, 3, video.height, video.width, generator=generator)
    colors = TorchColors(video, video, CPU)
    planes = to_planes(video, rgb)
    expected = to_rgb(video, planes)

    window = torch.zeros(1, 3, video.height + 5, video.width + 3)[..., 2:-3, 1:-2]
    last = torch.zeros_like(rgb).to(memory_format=torch.channels_last)
    signed = tuple(torch.from_numpy(p.view(np.int16) if p.dtype == np.uint16 else p) for p in planes)
    for out in (window, last):
        colors.to_rgb(signed, out)
        assert torch.equal(out, expected)
        colors.to_planes(out.copy_(rgb), tensors(again := video.new_planes()))
        assert differences(again, planes) == [0, 0, 0]
    half = torch.empty_like(rgb, dtype=torch.float16)
    colors.to_rgb(signed, half)
    assert torch.equal(half, expected.half())


@pytest.mark.parametrize("color_space", [0, 3, 8, 10, 14, 99])
def test_a_matrix_without_linear_rgb_is_refused_by_name(color_space):
    odd, plain = VideoFormat(width=4, height=4, color_space=color_space), VideoFormat(width=4, height=4)
    for source, target in ((odd, plain), (plain, odd)):
        with pytest.raises(InputError, match=f"H.273 code {color_space}.*Convert it") as caught:
            make_colors(source, target, CPU)
        assert caught.value.hint


def test_buffers_of_another_format_are_refused():
    video = VideoFormat(width=6, height=4)
    colors = TorchColors(video, video, CPU)
    with pytest.raises(ValueError, match="RGB of shape"):
        colors.to_rgb(tensors(video.new_planes()), torch.empty(1, 3, 4, 5))
    with pytest.raises(ValueError, match="planes of shapes"):
        colors.to_planes(torch.empty(1, 3, 4, 6), tensors(video.scaled(2).new_planes()))


def test_the_number_of_threads_is_left_as_it_was():
    """Conversion keeps to one thread for itself; the network after it has all of them again, even after an error."""
    video = VideoFormat(width=6, height=4)
    colors, threads = TorchColors(video, video, CPU), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        colors.to_rgb(tensors(video.new_planes()), torch.empty(1, 3, 4, 6))
        assert torch.get_num_threads() == 2
        with pytest.raises(ValueError, match="RGB of shape"):
            colors.to_planes(torch.empty(1, 3, 4, 5), tensors(video.new_planes()))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_the_choice_on_a_cpu_is_torch():
    video = VideoFormat(width=6, height=4)
    assert isinstance(make_colors(video, video.scaled(2), CPU), TorchColors)


@given(formats, st.data())
def test_a_gray_film_gets_no_colour_from_its_network(video, data):
    tint = torch.tensor([data.draw(st.floats(0, 1)) for _ in range(3)]).view(1, 3, 1, 1)
    planes = to_planes(replace(video, gray=True), tint.expand(1, 3, video.height, video.width).contiguous())
    assert [set(np.unique(plane)) for plane in planes[1:]] == [{2 ** (video.bit_depth - 1)}] * 2
    assert np.array_equal(planes[0], to_planes(video, tint.expand(1, 3, video.height, video.width).contiguous())[0])
