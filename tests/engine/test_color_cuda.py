"""The CUDA colour kernels against the torch reference: the same source compiled for the host, and for a GPU.

Without a GPU the kernels still run, thread after thread, through a host compiler; their arguments are the ones that
production packs. With one they run as CuPy compiles them, on torch's streams, in a CUDA graph.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import lipt_stream.engine
from lipt_stream.engine import color_cuda
from lipt_stream.engine.color import DevicePlanes, TorchColors, make_colors
from lipt_stream.engine.color_cuda import BLOCK, LAYOUT, TO_PLANES, TO_RGB, Launch, pack
from lipt_stream.engine.color_math import to_planes_constants, to_rgb_constants
from lipt_stream.errors import DeviceError, InputError
from lipt_stream.frame import VideoFormat

REPOSITORY = Path(__file__).resolve().parents[2]
KERNELS = Path(lipt_stream.engine.__file__).parent / "color.cu"
HOST_SHIM = Path(__file__).parent / "color_host.cpp"
CPU = torch.device("cpu")
MATRICES = (1, 4, 5, 6, 7, 9)
PIX_FMTS = ("yuv420p", "yuv420p10le", "yuv420p12le")
REALS = (torch.float32, torch.float16)


def every_format(width: int, height: int) -> Iterator[VideoFormat]:
    for pix_fmt, matrix, siting in product(PIX_FMTS, MATRICES, ("left", "center", "topleft")):
        for color_range in ("studio", "full"):
            yield VideoFormat(
                width=width,
                height=height,
                pix_fmt=pix_fmt,
                color_space=matrix,
                color_range=color_range,
                chroma_location=siting,
            )


def random_planes(video: VideoFormat, seed: int) -> DevicePlanes:
    random = np.random.default_rng(seed)
    top = 2**video.bit_depth
    y, u, v = (torch.from_numpy(random.integers(0, top, shape).astype(video.dtype)) for shape in video.plane_shapes)
    return y, u, v


def random_rgb(video: VideoFormat, seed: int, dtype: torch.dtype) -> Tensor:
    """RGB that leaves 0..1 by a fifth on either side."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, 3, video.height, video.width, generator=generator) * 1.4 - 0.2).to(dtype)


def empty_planes(video: VideoFormat, device: torch.device = CPU) -> DevicePlanes:
    y, u, v = (torch.from_numpy(plane).to(device) for plane in video.new_planes())
    return y, u, v


def assert_same_rgb(actual: Tensor, expected: Tensor) -> None:
    assert (actual.float() - expected.float()).abs().max() <= 1e-3


def assert_same_planes(actual: DevicePlanes, expected: DevicePlanes) -> None:
    for a, b in zip(actual, expected, strict=True):
        assert (a.to(torch.int32) - b.to(torch.int32)).abs().max() <= 1


def require_cupy() -> None:
    """Without CuPy the kernels cannot run: skipped by name, or a failure where a GPU run was asked for."""
    if os.environ.get("LIPT_REQUIRE_GPU") != "1":
        pytest.importorskip("cupy")
    assert color_cuda.is_installed()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++")
    library = tmp_path_factory.mktemp("color") / "color_host.so"
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*command, f"-I{KERNELS.parent}", str(HOST_SHIM), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def run_on_host(host: ctypes.CDLL, launch: Launch) -> None:
    """What a GPU does with a launch. Structs go by address, since ctypes cannot pass NumPy's by value."""
    grid, block = np.array(launch.grid, np.int32), np.array(BLOCK, np.int32)
    arguments = [a.ctypes.data if isinstance(a, np.ndarray) else a for a in launch.arguments]
    function = getattr(host, f"host_{launch.kernel}")
    function(*(ctypes.c_void_p(a) for a in (grid.ctypes.data, block.ctypes.data, *arguments)))


def check_on_host(host: ctypes.CDLL, video: VideoFormat, real: torch.dtype, seed: int) -> None:
    reference = TorchColors(video, video, CPU)
    planes = random_planes(video, seed)
    rgb = torch.full((1, 3, video.height, video.width), torch.nan, dtype=real)
    run_on_host(host, color_cuda.to_rgb_launch(video, pack(to_rgb_constants(video)), planes, rgb))
    reference.to_rgb(planes, expected := torch.empty_like(rgb))
    assert_same_rgb(rgb, expected)

    rgb = random_rgb(video, seed, real)
    written, expected_planes = empty_planes(video), empty_planes(video)
    run_on_host(host, color_cuda.to_planes_launch(video, pack(to_planes_constants(video)), written, rgb))
    reference.to_planes(rgb, expected_planes)
    assert_same_planes(written, expected_planes)


def test_structs_have_the_sizes_of_the_kernels_own(host):
    sizes = (ctypes.c_int * 3)()
    host.struct_sizes(sizes)
    assert list(sizes) == [LAYOUT.itemsize, TO_RGB.itemsize, TO_PLANES.itemsize]


def test_the_host_half_is_ieee(host):
    values = np.concatenate([np.random.default_rng(0).normal(0, 1, 4000), [0.0, -0.0, 6e-8, 1e-6, 65504, 65520, 1e9]])
    values = values.astype(np.float32)
    bits, back = np.zeros(len(values), np.uint16), np.zeros(len(values), np.float32)
    host.half_round_trip(*(ctypes.c_void_p(a.ctypes.data) for a in (values, bits, back)), len(values))
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    np.testing.assert_array_equal(bits, expected.view(np.uint16))
    np.testing.assert_array_equal(back, expected.astype(np.float32))


@pytest.mark.parametrize("real", REALS, ids=["float32", "float16"])
def test_kernels_on_the_host_agree_with_torch_for_every_format(host, real):
    for seed, video in enumerate(every_format(71, 19)):
        check_on_host(host, video, real, seed)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(1, 80),
    height=st.integers(1, 40),
    pix_fmt=st.sampled_from(PIX_FMTS),
    siting=st.sampled_from(("left", "center", "topleft")),
    real=st.sampled_from(REALS),
)
def test_kernels_on_the_host_agree_with_torch_at_any_size(host, width, height, pix_fmt, siting, real):
    video = VideoFormat(width=width, height=height, pix_fmt=pix_fmt, chroma_location=siting)
    check_on_host(host, video, real, width * 100 + height)


def test_kernels_follow_strides_and_touch_nothing_else(host):
    """Planes with padded rows, RGB channels last and RGB as a window of something larger."""
    video = VideoFormat(width=37, height=11)
    planes = random_planes(video, 5)
    TorchColors(video, video, CPU).to_rgb(planes, expected := torch.empty(1, 3, 11, 37))
    padded = tuple(torch.full((p.shape[0], p.shape[1] + 27), 77, dtype=p.dtype) for p in planes)
    inner = tuple(big[:, : p.shape[1]] for big, p in zip(padded, planes, strict=True))
    for view, plane in zip(inner, planes, strict=True):
        view.copy_(plane)
    around = torch.full((1, 3, 15, 43), 5.0)
    window = around[..., 2:-2, 3:-3]
    for rgb in (window, torch.empty(1, 3, 11, 37).to(memory_format=torch.channels_last)):
        run_on_host(host, color_cuda.to_rgb_launch(video, pack(to_rgb_constants(video)), inner, rgb))
        assert_same_rgb(rgb, expected)
    assert around.eq(5.0).sum() == around.numel() - window.numel()

    run_on_host(host, color_cuda.to_planes_launch(video, pack(to_planes_constants(video)), inner, window))
    TorchColors(video, video, CPU).to_planes(expected, again := empty_planes(video))
    assert_same_planes(inner, again)
    assert all((big[:, p.shape[1] :] == 77).all() for big, p in zip(padded, planes, strict=True))


def test_buffers_that_the_kernels_would_misread_are_refused():
    video, rgb = VideoFormat(width=6, height=4), torch.empty(1, 3, 4, 6)
    constants, planes = pack(to_rgb_constants(video)), empty_planes(video)
    y, u, v = planes
    with pytest.raises(ValueError, match="RGB of shape"):
        color_cuda.to_rgb_launch(video, constants, planes, rgb[..., 1:])
    with pytest.raises(ValueError, match="planes of shapes"):
        color_cuda.to_rgb_launch(video, constants, (y, u, v[1:]), rgb)
    with pytest.raises(ValueError, match="gaps between samples"):
        color_cuda.to_rgb_launch(video, constants, (torch.zeros(4, 12, dtype=torch.uint8)[:, ::2], u, v), rgb)
    with pytest.raises(ValueError, match=r"planes of torch\.int16"):
        color_cuda.to_rgb_launch(video, constants, (y.short(), u.short(), v.short()), rgb)
    with pytest.raises(ValueError, match=r"no variant for RGB in torch\.bfloat16"):
        color_cuda.to_rgb_launch(video, constants, planes, rgb.bfloat16())


def test_a_cupy_that_does_not_find_the_compiler_beside_torch_is_told_to_be_newer(monkeypatch):
    """13 looks for a whole CUDA toolkit only, and most machines have what pip brought with torch."""

    def module(**_: object) -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.13: OSError: cannot open shared object file")

    cupy = SimpleNamespace(
        RawModule=module, cuda=SimpleNamespace(compiler=SimpleNamespace(CompileException=ArithmeticError))
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    with pytest.raises(DeviceError, match=r"failed to load libnvrtc\.so\.13") as caught:
        color_cuda.compiled_kernels(0)
    assert "14 or later" in caught.value.hint
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert (extras["cuda"], extras["cuda12"]) == (["cupy-cuda13x>=14"], ["cupy-cuda12x>=14"])


def test_nvcc_compiles_every_kernel(tmp_path):
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("no nvcc")
    ptx = tmp_path / "color.ptx"
    command = [nvcc, "--ptx", "-std=c++17", "-Werror", "all-warnings", str(KERNELS), "-o", str(ptx)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    entries = [line for line in ptx.read_text().splitlines() if ".entry" in line]
    assert len(entries) == 8
    for direction, variant in product(("planes_to_rgb", "rgb_to_planes"), ("8_float32", "16_float16")):
        assert any(f"{direction}_{variant}(" in line for line in entries)


@pytest.mark.gpu
@pytest.mark.parametrize("real", REALS, ids=["float32", "float16"])
def test_cupy_kernels_agree_with_torch_for_every_format(real):
    require_cupy()
    cuda = torch.device("cuda")
    for seed, video in enumerate(every_format(71, 19)):
        colors, reference = make_colors(video, video, cuda), TorchColors(video, video, CPU)
        assert isinstance(colors, color_cuda.CudaColors)
        planes, rgb = random_planes(video, seed), random_rgb(video, seed, real)
        on_gpu = tuple(plane.to(cuda) for plane in planes)
        filled, written = torch.empty_like(rgb, device=cuda), empty_planes(video, cuda)
        colors.to_rgb(on_gpu, filled)
        colors.to_planes(rgb.to(cuda), written)
        reference.to_rgb(planes, expected := torch.empty_like(rgb))
        reference.to_planes(rgb, expected_planes := empty_planes(video))
        assert_same_rgb(filled.cpu(), expected)
        assert_same_planes(tuple(plane.cpu() for plane in written), expected_planes)


@pytest.mark.gpu
def test_cupy_kernels_are_captured_in_a_graph_and_allocate_nothing():
    require_cupy()
    cuda = torch.device("cuda")
    source = VideoFormat(width=640, height=360)
    target = source.scaled(2)
    colors, reference = make_colors(source, target, cuda), TorchColors(source, target, CPU)
    assert isinstance(colors, color_cuda.CudaColors)
    planes, out = tuple(p.to(cuda) for p in random_planes(source, 0)), empty_planes(target, cuda)
    rgb = torch.empty(1, 3, 360, 640, device=cuda, dtype=torch.float16)
    large = torch.empty(1, 3, 720, 1280, device=cuda, dtype=torch.float16)

    def step() -> None:
        colors.to_rgb(planes, rgb)
        large.view(1, 3, 360, 2, 640, 2).copy_(rgb[:, :, :, None, :, None])
        colors.to_planes(large, out)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        step()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        before = torch.cuda.memory_allocated()  # in here, for a graph itself holds memory: a generator's state
        step()
        allocated = torch.cuda.memory_allocated() - before
    fresh = random_planes(source, 1)
    for plane, new in zip(planes, fresh, strict=True):
        plane.copy_(new)
    graph.replay()
    torch.cuda.synchronize()
    assert allocated == 0

    reference.to_rgb(fresh, small := torch.empty(1, 3, 360, 640))
    assert_same_rgb(rgb.cpu(), small)
    reference.to_planes(large.float().cpu(), expected := empty_planes(target))
    assert_same_planes(tuple(plane.cpu() for plane in out), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_torch_on_a_gpu_is_the_same_reference(siting):
    video = VideoFormat(width=71, height=19, chroma_location=siting)
    cuda = torch.device("cuda")
    planes, rgb = random_planes(video, 2), random_rgb(video, 2, torch.float32)
    on_gpu, on_cpu = TorchColors(video, video, cuda), TorchColors(video, video, CPU)
    on_gpu.to_rgb(tuple(p.to(cuda) for p in planes), filled := torch.empty_like(rgb, device=cuda))
    on_gpu.to_planes(rgb.to(cuda), written := empty_planes(video, cuda))
    on_cpu.to_rgb(planes, expected := torch.empty_like(rgb))
    on_cpu.to_planes(rgb, expected_planes := empty_planes(video))
    assert_same_rgb(filled.cpu(), expected)
    assert_same_planes(tuple(plane.cpu() for plane in written), expected_planes)


@pytest.mark.gpu
def test_a_refused_matrix_is_refused_on_a_gpu_too():
    video = VideoFormat(width=4, height=4, color_space=8)
    with pytest.raises(InputError, match="YCgCo"):
        make_colors(video, video, torch.device("cuda"))
