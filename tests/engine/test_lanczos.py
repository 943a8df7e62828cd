"""Lanczos: MATLAB's numbers inside, repeated edges, exact flat areas, and chroma where its siting says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lipt_stream.engine import lanczos
from lipt_stream.engine.lanczos import LOBES, LanczosUpscaler
from lipt_stream.frame import PixFmt, VideoFormat
from lipt_stream.train.evaluate import read_image
from lipt_stream.train.imresize import imresize

CPU = torch.device("cpu")


def psnr(a: Tensor, b: Tensor, peak: float) -> float:
    return 10 * math.log10(peak**2 / max(float((a.double() - b.double()).square().mean()), 1e-20))


def planes_of(video: VideoFormat) -> tuple[Tensor, Tensor, Tensor]:
    dtype = torch.uint8 if video.bit_depth == 8 else torch.uint16
    y, u, v = (torch.zeros(shape, dtype=dtype) for shape in video.plane_shapes)
    return y, u, v


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_it_is_the_lanczos_of_the_evaluation(scale, shared):
    """Inside to rounding; on a whole photograph to 50 dB, because MATLAB mirrors at the edges and this repeats."""
    picture = read_image(shared / "data" / "bench" / "Set5" / "bird.png").astype(np.float64) / 255
    expected = torch.from_numpy(imresize(picture, scale, "lanczos3")).permute(2, 0, 1)[None]
    result = LanczosUpscaler(scale, CPU).run(torch.from_numpy(picture).permute(2, 0, 1)[None].float())
    assert result.shape == expected.shape
    assert result.dtype == torch.float32
    edge = LOBES * scale
    inside = (..., slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(result[inside], expected[inside].float(), atol=2e-6, rtol=0)
    assert psnr(result, expected, 1.0) > 50


@settings(max_examples=20)
@given(
    scale=st.integers(1, 4), height=st.integers(1, 40), width=st.integers(1, 40), band=st.sampled_from([1, 64, 2**17])
)
def test_edges_are_repeated_and_bands_leave_no_trace(scale, height, width, band):
    images = torch.rand(2, 3, height, width)
    beyond = torch.nn.functional.pad(images, (LOBES,) * 4, mode="replicate")
    with pytest.MonkeyPatch.context() as patch:
        upscaler = LanczosUpscaler(scale, CPU)
        expected = upscaler.run(beyond)[..., LOBES * scale : -LOBES * scale, LOBES * scale : -LOBES * scale]
        patch.setattr(lanczos, "BAND_SAMPLES", band)
        torch.testing.assert_close(upscaler.run(images), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_flat_picture_stays_exactly_flat(pix_fmt: PixFmt, scale: int) -> None:
    for location in ("left", "center", "topleft"):
        video = VideoFormat(width=35, height=21, pix_fmt=pix_fmt, chroma_location=location)
        top = 2**video.bit_depth - 1
        for code in (0, 1, top // 3, top - 1, top):
            planes, result = planes_of(video), planes_of(video.scaled(scale))
            for plane in planes:
                plane.numpy()[:] = code
            LanczosUpscaler(scale, CPU).run_planes(video, planes, result)
            assert all((plane.numpy() == code).all() for plane in result)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_luma_is_what_the_picture_would_be_rounded_and_clamped(pix_fmt: PixFmt) -> None:
    video = VideoFormat(width=51, height=37, pix_fmt=pix_fmt)
    planes, result = planes_of(video), planes_of(video.scaled(2))
    planes[0].numpy()[:] = np.random.default_rng(1).integers(0, 2**video.bit_depth, (37, 51))
    upscaler = LanczosUpscaler(2, CPU)
    upscaler.run_planes(video, planes, result)
    exact = upscaler.run(torch.from_numpy(planes[0].numpy().astype(np.float32)).expand(1, 3, -1, -1))[0, 0]
    expected = exact.add(0.5).floor().clamp(0, 2**video.bit_depth - 1)
    assert (torch.from_numpy(result[0].numpy().astype(np.float32)) - expected).abs().max() <= 1
    assert (torch.from_numpy(result[0].numpy().astype(np.float32)) != expected).float().mean() < 0.001
    assert exact.min() < 0
    assert exact.max() > 2**video.bit_depth


@pytest.mark.parametrize("location", ["left", "center", "topleft"])
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (63, 47)])
def test_chroma_lies_where_its_siting_says(location, scale, width, height):
    """A slow wave in luma coordinates, sampled where chroma samples lie, comes out sampled where they lie then."""
    video = VideoFormat(width=width, height=height, chroma_location=location)

    def wave(size: VideoFormat, pixels: float) -> np.ndarray:
        """Of `pixels` per pixel of the source, sampled at the places of chroma in a picture of this size."""
        (_, _), (h, w), _ = size.plane_shapes
        x = 2 * np.arange(w) + (0.5 if location != "center" else 1.0)  # from the picture's outer edge, in pixels
        y = 2 * np.arange(h) + (0.5 if location == "topleft" else 1.0)
        return 128 + 50 * np.cos(x[None, :] / pixels / 9 + 0.3) + 50 * np.cos(y[:, None] / pixels / 8)

    planes, result = planes_of(video), planes_of(video.scaled(scale))
    for plane in planes[1:]:
        plane.numpy()[:] = np.round(wave(video, 1))
    LanczosUpscaler(scale, CPU).run_planes(video, planes, result)
    inside = (slice(4 * scale, -4 * scale), slice(4 * scale, -4 * scale))
    expected = wave(video.scaled(scale), scale)
    for plane in result[1:]:
        assert plane.shape == expected.shape
        assert np.abs(plane.numpy()[inside] - expected[inside]).max() < 1.6  # two roundings, and the filter's ripple


@pytest.mark.gpu
def test_a_gpu_computes_the_same():
    video = VideoFormat(width=321, height=181, chroma_location="topleft")
    planes, result = planes_of(video), planes_of(video.scaled(2))
    for plane in planes:
        plane.copy_(torch.randint(0, 256, plane.shape, dtype=torch.uint8))
    LanczosUpscaler(2, CPU).run_planes(video, planes, result)
    cuda = torch.device("cuda")
    there = planes_of(video.scaled(2))
    on_gpu = tuple(plane.to(cuda) for plane in there)
    LanczosUpscaler(2, cuda).run_planes(video, tuple(plane.to(cuda) for plane in planes), on_gpu)  # type: ignore[arg-type]
    for a, b in zip(result, on_gpu, strict=True):
        assert (a.int() - b.cpu().int()).abs().max() <= 1
