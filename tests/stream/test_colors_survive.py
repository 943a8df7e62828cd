"""Colour bars through the whole path with an identity in place of the network.

Source -> planes -> RGB -> planes -> lossless encoder -> PyAV's decoder, and then two judges that know nothing of this
package: R'G'B' by H.273's formulas, written out here; and FFmpeg's own converter and its filters ssim and psnr.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lipt_stream.engine.color import make_colors
from lipt_stream.frame import END
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.siting import stated_siting

SIZE = (32 * 9, 64)
BARS = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0), (0.5, 0.3, 0.7)]
KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
FULL = {"studio": 1, "full": 2}


def scales(depth: int, full: bool) -> tuple[float, float, float, float]:
    """Offset and span of luma, zero and span of chroma, in codes."""
    unit = 1 << (depth - 8)
    if full:
        top = (1 << depth) - 1
        return 0, top, 128 * unit, top
    return 16 * unit, 219 * unit, 128 * unit, 224 * unit


def bar_planes(matrix: int, full: bool, depth: int) -> NDArray[np.float64]:
    """(3, bars): rounded codes of 75 % bars."""
    kr, kb = KR_KB[matrix]
    r, g, b = 0.75 * np.array(BARS).T
    y = kr * r + (1 - kr - kb) * g + kb * b
    low, span, zero, chroma_span = scales(depth, full)
    codes = [low + span * y, zero + chroma_span * (b - y) / 2 / (1 - kb), zero + chroma_span * (r - y) / 2 / (1 - kr)]
    return np.round(np.stack(codes))


def to_rgb(planes: NDArray[np.float64], matrix: int, full: bool, depth: int) -> NDArray[np.float64]:
    """(3, ...) codes to R'G'B' in 0..255."""
    kr, kb = KR_KB[matrix]
    low, span, zero, chroma_span = scales(depth, full)
    y, u, v = (planes[0] - low) / span, (planes[1] - zero) / chroma_span, (planes[2] - zero) / chroma_span
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return 255 * np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b])


def write_bars(
    path: Path, matrix: int, full: bool, depth: int, chroma: str, size: tuple[int, int] = SIZE, siting: str = "left"
) -> None:
    pix_fmt = f"yuv{chroma}p" + ("10le" if depth == 10 else "")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25, options={"chroma_sample_location": siting})
        (stream.width, stream.height), stream.pix_fmt = size, pix_fmt
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 2 if full else 1
        picture = av.VideoFrame(*size, pix_fmt)
        for plane, codes in zip(picture.planes, bar_planes(matrix, full, depth), strict=True):
            samples = np.frombuffer(plane, np.uint16 if depth == 10 else np.uint8).reshape(plane.height, -1)
            samples[:, : plane.width] = codes[np.arange(plane.width) * len(BARS) // plane.width]
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def through_identity(source_path: Path, target: Path, encoder: str, options: dict[str, str]) -> None:
    source = FileSource(source_path)
    choice = choose_encoder(encoder, options=options, bit_depth=source.format.bit_depth, suffix=target.suffix)
    sink = FileSink(target, source.format, encoder=choice, copy_from=source_path)
    colors = make_colors(source.format, source.format, torch.device("cpu"))
    rgb = torch.empty(1, 3, source.format.height, source.format.width)
    before, after = source.format.new_planes(), source.format.new_planes()
    while (frame := source.read(before)) is not END:
        colors.to_rgb(tuple(torch.from_numpy(p) for p in before), rgb)
        colors.to_planes(rgb, tuple(torch.from_numpy(p) for p in after))
        frame.planes = after
        sink.write(frame)
    sink.close()
    source.close()


def ffmpegs_verdict(before: av.VideoFrame, after: av.VideoFrame) -> tuple[float, float]:
    """By FFmpeg alone: two pictures become RGB by their tags, and its filters compare the middle of each bar.

    Returns the worst SSIM and the worst root of the mean square error, in codes of 255.
    """
    crops = (f"iw/24:ih-8:iw*{2 * n + 1}/18-iw/48:4" for n in range(len(BARS)))
    verdicts = [_compare(after, before, crop) for crop in crops]
    return min(ssim for ssim, _ in verdicts), max(rms for _, rms in verdicts)


def _compare(result: av.VideoFrame, source: av.VideoFrame, crop: str) -> tuple[float, float]:
    graph = av.filter.Graph()
    ends = []
    for picture in (result, source):
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        begin = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=picture.time_base
        )
        scale = graph.add("scale", "flags=accurate_rnd+full_chroma_int+full_chroma_inp+bilinear")
        ends.append(graph.add("crop", crop))
        graph.link_nodes(begin, scale, graph.add("format", "gbrp"), ends[-1])
    ssim, psnr, both, sink = (graph.add(name) for name in ("ssim", "psnr", "split", "buffersink"))
    ends[0].link_to(ssim, 0, 0)
    ends[1].link_to(both)
    both.link_to(ssim, 0, 1)
    ssim.link_to(psnr, 0, 0)
    both.link_to(psnr, 1, 1)
    psnr.link_to(sink)
    graph.configure()
    for place, picture in enumerate((result, source)):
        graph.vpush(picture, place)
    graph.vpush(None)
    told = graph.vpull().metadata
    return float(told["lavfi.ssim.All"]), float(told["lavfi.psnr.mse_avg"]) ** 0.5


def bars_of(path: Path) -> tuple[NDArray[np.float64], av.VideoFrame]:
    """(3, bars): the middle of each bar in each plane; and the decoded picture for its tags."""
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0))
    values = []
    for plane in picture.planes:
        samples = np.asarray(np.from_dlpack(plane))
        wide = samples.shape[1] / len(BARS)
        values.append(
            [samples[4:-4, round((n + 0.3) * wide) : round((n + 0.7) * wide)].mean() for n in range(len(BARS))]
        )
    return np.array(values), picture


CASES = [
    (matrix, full, depth, chroma)
    for matrix, full, depth, chroma in product((1, 5, 6, 9), (False, True), (8, 10), ("420", "444"))
    if not (matrix == 5 and (depth == 10 or chroma == "444"))  # 5 and 6 are the same formula
]


@pytest.mark.parametrize(("matrix", "full", "depth", "chroma"), CASES)
def test_bars_are_within_one_of_255(tmp_path: Path, matrix: int, full: bool, depth: int, chroma: str) -> None:
    write_bars(tmp_path / "bars.mkv", matrix, full, depth, chroma)
    x264_is_lossless = depth == 8  # its qp 0 is, in 8 bits alone
    encoder, options, name = ("libx264", {"qp": "0"}, "out.mp4") if x264_is_lossless else ("ffv1", {}, "out.mkv")
    through_identity(tmp_path / "bars.mkv", tmp_path / name, encoder, options)
    wanted, before = bars_of(tmp_path / "bars.mkv")
    got, after = bars_of(tmp_path / name)
    assert int(after.colorspace) == int(before.colorspace) == matrix
    assert int(after.color_range) == int(before.color_range) == (2 if full else 1)
    assert after.format.components[0].bits == depth
    rgb_before, rgb_after = to_rgb(wanted, matrix, full, depth), to_rgb(got, matrix, full, depth)
    assert np.abs(rgb_after - rgb_before).max() <= 1
    assert np.abs(rgb_before - 255 * 0.75 * np.array(BARS).T).max() <= 2, "the bars are bars"
    wrong = to_rgb(got, 9 if matrix != 9 else 6, full, depth)
    assert np.abs(wrong - rgb_before).max() > 5, "a wrong matrix would show"
    assert np.abs(to_rgb(got, matrix, not full, depth) - rgb_before).max() > 5, "and so would a wrong range"
    ssim, rms = ffmpegs_verdict(before, after)
    assert ssim > 0.999
    assert rms <= 1


def test_ffmpegs_filters_would_notice(tmp_path: Path) -> None:
    """The judge is not blind: the same codes under another matrix or range are told apart."""
    write_bars(tmp_path / "bars.mkv", 1, full=False, depth=8, chroma="420")
    _, right = bars_of(tmp_path / "bars.mkv")
    for change in ({"colorspace": 6}, {"color_range": 2}):
        _, wrong = bars_of(tmp_path / "bars.mkv")
        for name, value in change.items():
            setattr(wrong, name, value)
        assert ffmpegs_verdict(right, wrong)[1] > 3
    assert ffmpegs_verdict(right, bars_of(tmp_path / "bars.mkv")[1]) == (1.0, 0.0)


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("size", [(279, 63), (281, 64), (280, 65)], ids=str)
@pytest.mark.parametrize(("matrix", "full", "depth"), [(1, False, 8), (6, True, 8), (9, False, 10)])
def test_odd_sizes_and_every_siting(
    tmp_path: Path, matrix: int, full: bool, depth: int, size: tuple[int, int], siting: str
) -> None:
    write_bars(tmp_path / "bars.mkv", matrix, full, depth, "420", size, siting)
    through_identity(tmp_path / "bars.mkv", tmp_path / "out.mkv", "ffv1", {})
    wanted, before = bars_of(tmp_path / "bars.mkv")
    got, after = bars_of(tmp_path / "out.mkv")
    assert (after.width, after.height) == size
    difference = to_rgb(got, matrix, full, depth) - to_rgb(wanted, matrix, full, depth)
    assert np.abs(difference).max() <= 1
    assert ffmpegs_verdict(before, after)[0] > 0.999
    with av.open(str(tmp_path / "bars.mkv")) as source, av.open(str(tmp_path / "out.mkv")) as result:
        assert stated_siting(result.streams.video[0]) == stated_siting(source.streams.video[0]) == siting
