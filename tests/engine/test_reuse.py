"""Reuse changes nothing: every frame is, to the bit, what computing all of it anew gives; and exchange of upscalers."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine import reuse
from lipt_stream.engine.color import make_colors
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.planes import ImageUpscaler
from lipt_stream.engine.reuse import ALIGN, CORE, HALO, LITTLE, MOST, PATIENCE, WholeOrTiles, Work
from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.engine.tiling import fixed_plan, window
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import PixFmt, Planes, VideoFormat
from lipt_stream.media.file_source import FileSource

CPU = torch.device("cpu")
TILE = CORE + 2 * HALO


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def lanczos() -> LanczosUpscaler:
    return LanczosUpscaler(2, CPU)


def picture(video: VideoFormat, seed: int = 0) -> Planes:
    random = np.random.default_rng(seed)
    y, u, v = (random.integers(0, 2**video.bit_depth, shape).astype(video.dtype) for shape in video.plane_shapes)
    return y, u, v


def tensors(planes: Planes) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    y, u, v = (torch.from_numpy(np.ascontiguousarray(plane)) for plane in planes)
    return y, u, v


def every_tile(upscaler: ImageUpscaler, video: VideoFormat, planes: Planes) -> Planes:
    """What tiles are, computed the plain way: each alone, through RGB or Lanczos, and its core put in its place."""
    scale = upscaler.scale
    result = video.scaled(scale).new_planes()
    plan = fixed_plan(video.height, video.width, CORE, HALO, ALIGN)
    for row in plan.rows:
        for column in plan.columns:
            small = dataclasses.replace(video, width=column.stop - column.start, height=row.stop - row.start)
            large = small.scaled(scale)
            tile, out = tensors(window(planes, row.read, column.read)), tensors(large.new_planes())
            if isinstance(upscaler, LanczosUpscaler):
                upscaler.run_planes(small, tile, out)
            else:
                colors = make_colors(small, large, CPU)
                rgb = torch.empty(1, 3, small.height, small.width)
                colors.to_rgb(tile, rgb)
                colors.to_planes(upscaler.run(rgb), out)
            y, x, s = row.core_start, column.core_start, scale
            rows, columns = slice(y * s, row.core_stop * s), slice(x * s, column.core_stop * s)
            within = (
                slice((y - row.start) * s, (row.core_stop - row.start) * s),
                slice((x - column.start) * s, (column.core_stop - column.start) * s),
            )
            enlarged = tuple(plane.numpy() for plane in out)
            for a, b in zip(window(result, rows, columns), window(enlarged, *within), strict=True):  # type: ignore[arg-type]
                a[:] = b
    return result


def submit(engine: Engine, planes: Planes, index: int = 0) -> Slot:
    slot = engine.slots[index % len(engine.slots)]
    for source, target in zip(planes, slot.host_in, strict=True):
        target[:] = source
    for plane in slot.host_out:
        plane[:] = 77  # nothing of this may be left
    engine.process(slot)
    return slot


def copied(planes: Planes) -> Planes:
    y, u, v = (plane.copy() for plane in planes)
    return y, u, v


def assert_equal(result: Planes, expected: Planes) -> None:
    for a, b in zip(result, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def in_tiles(upscaler: ImageUpscaler, video: VideoFormat, planes: Planes, threshold: int = 0, depth: int = 2) -> Engine:
    """An engine that has seen the same picture until it turned to tiles."""
    engine = Engine(upscaler, video, depth, reuse_threshold=threshold)
    for _ in range(PATIENCE + 1):
        submit(engine, planes)
    return engine


Edit = tuple[str, int, int, int]


def edited(planes: Planes, edit: Edit, top: int) -> Planes:
    kind, plane, row, column = edit
    changed = copied(planes)
    target = changed[plane]
    row, column = row % target.shape[0], column % target.shape[1]
    if kind == "pixel":
        target[row, column] ^= 1
    elif kind == "square":
        target[row : row + 9, column : column + 9] = top // 3
    elif kind == "everything":
        for each in changed:
            each[:] = top - each
    return changed


edits = st.lists(
    st.tuples(
        st.sampled_from(["pixel", "pixel", "square", "nothing", "everything"]),
        st.integers(0, 2),
        st.integers(0, 200),
        st.integers(0, 200),
    ),
    min_size=1,
    max_size=6,
)


def check_sequence(upscaler: ImageUpscaler, video: VideoFormat, sequence: list[Edit]) -> None:
    planes = picture(video)
    engine = in_tiles(upscaler, video, planes)
    plain = Engine(upscaler, video, 1)
    before = copied(submit(engine, planes).host_out)
    assert_equal(before, submit(plain, planes).host_out)
    for index, edit in enumerate(sequence):
        planes = edited(planes, edit, 2**video.bit_depth - 1)
        slot = submit(engine, planes, index)
        if slot.work.changed is None:
            assert slot.work.reused == 0
            assert_equal(slot.host_out, submit(plain, planes).host_out)
        elif slot.work.reused == slot.work.tiles:
            assert_equal(slot.host_out, before)
        else:
            assert_equal(slot.host_out, every_tile(upscaler, video, planes))
        before = copied(slot.host_out)


@settings(max_examples=12)
@given(
    width=st.integers(1, 150),
    height=st.integers(1, 90),
    pix_fmt=st.sampled_from(["yuv420p", "yuv420p10le"]),
    sequence=edits,
)
def test_the_network_in_reused_tiles_is_the_network_in_all_tiles(
    nano: Upscaler, width: int, height: int, pix_fmt: PixFmt, sequence: list[Edit]
) -> None:
    check_sequence(nano, VideoFormat(width=width, height=height, pix_fmt=pix_fmt), sequence)


def test_so_are_tiles_in_batches(nano: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(reuse.BATCH, "cpu", 4)
    sequence = [("pixel", 0, 3, 3), ("square", 0, 60, 60), ("square", 1, 20, 70), ("everything", 0, 0, 0)]
    check_sequence(nano, VideoFormat(width=203, height=131), sequence)


class Bicubic:
    """An upscaler of images that costs next to nothing, for many sizes and scales."""

    device = CPU

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def run(self, images: torch.Tensor, at_once: int = 1) -> torch.Tensor:
        assert at_once == 1
        return torch.nn.functional.interpolate(images, scale_factor=self.scale, mode="bicubic")


@settings(max_examples=20)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 150),
    location=st.sampled_from(["left", "center", "topleft"]),
    scale=st.integers(1, 4),
    sequence=edits,
)
def test_so_it_is_at_any_scale_and_siting(
    width: int, height: int, location: str, scale: int, sequence: list[Edit]
) -> None:
    video = VideoFormat(width=width, height=height, chroma_location=location)  # type: ignore[arg-type]
    check_sequence(Bicubic(scale), video, sequence)


@settings(max_examples=15)
@given(
    width=st.integers(1, 200),
    height=st.integers(1, 200),
    location=st.sampled_from(["left", "center", "topleft"]),
    scale=st.integers(1, 4),
)
def test_tiles_are_the_whole_where_the_upscaler_reaches_no_further_than_the_halo(
    width: int, height: int, location: str, scale: int
) -> None:
    """Cutting and placing is exact: shown by Lanczos, for any scale and siting."""
    video = VideoFormat(width=width, height=height, chroma_location=location)  # type: ignore[arg-type]
    upscaler = LanczosUpscaler(scale, CPU)
    planes, engine = picture(video), Engine(upscaler, video, 1)
    assert_equal(every_tile(upscaler, video, planes), submit(engine, planes).host_out)


def test_lanczos_is_computed_whole_where_anything_changed(lanczos: LanczosUpscaler) -> None:
    video = VideoFormat(width=300, height=200)
    planes = picture(video)
    engine, plain = in_tiles(lanczos, video, planes), Engine(lanczos, video, 1)
    work = submit(engine, planes).work
    assert (work.reused, work.share, work.network_share) == (work.tiles, 0.0, 0.0)
    planes[0][0, 0] ^= 1
    slot = submit(engine, planes)
    assert (slot.work.reused, slot.work.share) == (0, 1.0)
    assert slot.work.network_share == pytest.approx(TILE * TILE / (300 * 200))
    assert_equal(slot.host_out, submit(plain, planes).host_out)


def test_only_what_changed_is_computed_and_reported(nano: Upscaler) -> None:
    video = VideoFormat(width=203, height=131)
    planes = picture(video)
    engine = in_tiles(nano, video, planes)
    tiles = fixed_plan(131, 203, CORE, HALO, ALIGN).count
    planes[0][0, 0] ^= 1
    assert submit(engine, planes).work.reused == 0, "the first frame in tiles: until now it was computed whole"
    planes[0][0, 0] ^= 1
    work = submit(engine, planes).work
    assert (work.tiles, work.reused) == (tiles, tiles - 1)
    assert work.share == pytest.approx(TILE * TILE / (203 * 131))
    assert work.rows == (slice(0, TILE),), "what no changed tile reads is not uploaded"
    work = submit(engine, planes).work
    assert (work.reused, work.share, work.network_share, work.rows) == (tiles, 0.0, 0.0, ())


def test_a_still_picture_costs_nothing_in_either_way_of_computing(
    nano: Upscaler, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = VideoFormat(width=90, height=70)
    planes = picture(video)
    engine = Engine(nano, video, 2, reuse_threshold=0)
    first = copied(submit(engine, planes).host_out)

    def refused(_images: torch.Tensor, _at_once: int = 1) -> torch.Tensor:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(nano, "run", refused)
    for index in range(3 * PATIENCE):
        slot = submit(engine, planes, index)
        assert slot.work.reused == slot.work.tiles
        assert_equal(slot.host_out, first)


def test_what_moves_all_over_is_computed_whole(nano: Upscaler) -> None:
    video = VideoFormat(width=130, height=90)
    engine = in_tiles(nano, video, picture(video))
    for seed in range(1, PATIENCE + 3):
        work = submit(engine, picture(video, seed)).work
        assert (work.changed is None) == (seed >= PATIENCE), "one new frame is no reason, several are"
        assert work.reused == 0
        assert work.share == 1 if work.changed is None else work.share > 1


def test_from_tiles_to_whole_frames_and_back(nano: Upscaler) -> None:
    """What was computed whole does not pass for tiles: the first frame in tiles again computes all of them."""
    video = VideoFormat(width=130, height=90)
    planes = picture(video)
    engine = in_tiles(nano, video, planes)
    for seed in range(1, PATIENCE + 2):
        planes = picture(video, seed)
        submit(engine, planes)
    works: list[Work] = []
    for column in range(PATIENCE + 2):
        planes[0][3, column] ^= 1
        slot = submit(engine, planes)
        works.append(slot.work)
    assert [work.changed is None for work in works] == [True] * (PATIENCE - 1) + [False] * 3
    assert [work.reused for work in works[-3:]] == [0, works[0].tiles - 1, works[0].tiles - 1]
    assert_equal(slot.host_out, every_tile(nano, video, planes))


shares = st.lists(st.floats(0, 2), max_size=60)


@given(shares)
def test_the_choice_between_whole_and_tiles_changes_only_after_patience(sequence: list[float]) -> None:
    choice = WholeOrTiles()
    was, since = False, 0
    for count, share in enumerate(sequence, 1):
        now = choice.in_tiles(share)
        if now != was:
            recent = sequence[count - PATIENCE : count]
            assert count - since >= PATIENCE
            assert all(share < LITTLE for share in recent) if now else all(share > MOST for share in recent)
            since = count
        was = now


@settings(max_examples=10)
@given(threshold=st.integers(1, 9), frames=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 99)), max_size=6))
def test_above_zero_it_is_the_picture_of_a_canvas_that_is_no_further_off(
    nano: Upscaler, threshold: int, frames: list[tuple[int, int]]
) -> None:
    """Noise of any strength on a flat picture, and a dot that moves."""
    video = VideoFormat(width=130, height=90)
    y, u, v = (np.full(shape, 100, np.uint8) for shape in video.plane_shapes)
    engine = in_tiles(nano, video, (y, u, v), threshold=threshold)
    moved = copied((y, u, v))
    moved[0][5, 5] = 200
    submit(engine, moved)  # the first in tiles, of the frame itself
    random = np.random.default_rng(3)
    for noise, place in frames:
        y, u, v = (random.integers(100 - noise, 101 + noise, plane.shape, dtype=np.uint8) for plane in (y, u, v))
        y[place % 90, place] = 200
        slot = submit(engine, (y, u, v))
        for canvas, plane in zip(slot.host_in, (y, u, v), strict=True):
            assert np.abs(canvas.astype(int) - plane).max() <= (threshold if slot.work.changed is not None else 0)
        if slot.work.changed is not None and slot.work.changed.any():
            assert_equal(slot.host_out, every_tile(nano, video, slot.host_in))


def test_a_threshold_lets_noise_below_it_pass(nano: Upscaler) -> None:
    """The picture stays that of the first frame, 45 dB from what the noisy frames would be."""
    video = VideoFormat(width=130, height=90)
    y, u, v = (np.full(shape, 100, np.uint8) for shape in video.plane_shapes)
    random = np.random.default_rng(3)
    engine = in_tiles(nano, video, (y, u, v), threshold=2)
    exact = Engine(nano, video, 1)
    for _ in range(4):
        noisy = tuple(random.integers(99, 102, plane.shape, dtype=np.uint8) for plane in (y, u, v))
        slot = submit(engine, noisy)  # type: ignore[arg-type]
        assert slot.work.reused == slot.work.tiles
        expected = submit(exact, noisy).host_out  # type: ignore[arg-type]
        error = np.concatenate([(a.astype(float) - b).ravel() for a, b in zip(slot.host_out, expected, strict=True)])
        assert 10 * math.log10(255**2 / (error**2).mean()) > 45
    y[40, 40] += 3
    assert submit(engine, (y, u, v)).work.reused < slot.work.tiles


@pytest.mark.parametrize("threshold", [None, 0, 2])
def test_another_upscaler_takes_over_with_the_next_frame(
    nano: Upscaler, lanczos: LanczosUpscaler, threshold: int | None
) -> None:
    video = VideoFormat(width=130, height=90)
    planes = picture(video)
    engine = Engine(lanczos, video, 2, reuse_threshold=threshold)
    slots = list(engine.slots)
    for index in range(PATIENCE + 1):
        submit(engine, planes, index)
    for upscaler in (nano, lanczos, nano):
        engine.use(upscaler)
        slot = submit(engine, planes)
        assert slot.work.reused == 0
        expected = submit(Engine(upscaler, video, 1), planes).host_out
        is_tiled = threshold is not None and upscaler is nano
        assert_equal(slot.host_out, every_tile(nano, video, planes) if is_tiled else expected)
    assert engine.slots == slots


def test_an_upscaler_of_another_scale_is_refused(nano: Upscaler) -> None:
    engine = Engine(nano, VideoFormat(width=64, height=48), 1)
    for call in (engine.use, engine.warm_up):
        with pytest.raises(ValueError, match="x3 on cpu in an engine of x2"):
            call(LanczosUpscaler(3, CPU))


@pytest.mark.parametrize("threshold", [None, 0])
def test_after_warming_up_nothing_is_compiled_any_more(nano: Upscaler, threshold: int | None) -> None:
    video = VideoFormat(width=150, height=100)
    engine = Engine(nano, video, 1, reuse_threshold=threshold)
    assert engine.warm_up(nano) > 0
    requests = getattr(nano._runtime, "_idle", None)  # OpenVINO's; torch compiles nothing
    if requests is None:
        pytest.skip("openvino is not installed")
    compiled = set(map(id, requests.values()))
    planes = picture(video)
    for seed in range(2 * PATIENCE):
        planes[0][3, 3] = seed
        submit(engine, planes)
    assert compiled == set(map(id, requests.values()))


def test_a_frame_that_failed_leaves_nothing_to_reuse(nano: Upscaler, monkeypatch: pytest.MonkeyPatch) -> None:
    video = VideoFormat(width=130, height=90)
    planes = picture(video)
    engine = in_tiles(nano, video, planes)
    planes[0][:, :] ^= 1
    submit(engine, planes)
    planes[0][50, 50] ^= 3
    run, calls = nano.run, iter(range(100))

    def breaking(images: torch.Tensor, at_once: int = 1) -> torch.Tensor:
        if next(calls) == 1:
            raise RuntimeError("the network broke")
        return run(images, at_once)

    monkeypatch.setattr(nano, "run", breaking)
    with pytest.raises(RuntimeError, match="the network broke"):
        submit(engine, planes)
    slot = submit(engine, planes)
    assert slot.work.reused == 0
    assert_equal(slot.host_out, every_tile(nano, video, planes))


def test_tiles_differ_little_from_the_whole_frame(nano: Upscaler, clip: Path) -> None:
    """On a real picture 60 dB at least; the benchmark states it for more."""
    source = FileSource(clip)
    video = source.format
    planes = video.new_planes()
    source.read(planes)
    source.close()
    whole = submit(Engine(nano, video, 1), planes).host_out
    for a, b in zip(every_tile(nano, video, planes), whole, strict=True):
        error = float(((a.astype(float) - b) ** 2).mean())
        assert 10 * math.log10(255**2 / max(error, 1e-9)) > 60


@pytest.mark.gpu
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le"])
def test_a_gpu_reuses_what_it_would_compute_again(pix_fmt: PixFmt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against an engine that stays with tiles and is made to forget before each frame."""
    gpu = Upscaler.load("nano-x2", device="cuda")
    video = VideoFormat(width=331, height=203, pix_fmt=pix_fmt)
    planes = picture(video)
    engine, forgetful = in_tiles(gpu, video, planes, depth=4), in_tiles(gpu, video, planes, depth=4)
    monkeypatch.setattr(reuse, "PATIENCE", 1000)
    for index in range(12):
        planes[index % 3][5 * index, 7 * index] ^= 1
        slot = submit(engine, planes, index)
        forgetful.use(gpu)
        again = submit(forgetful, planes, index)
        assert again.work.reused == 0
        assert index == 0 or slot.work.reused > 0
        assert_equal(slot.host_out, again.host_out)


@pytest.mark.gpu
def test_a_gpu_exchanges_upscalers_between_frames_in_flight() -> None:
    gpu = Upscaler.load("nano-x2", device="cuda")
    lanczos = LanczosUpscaler(2, gpu.device)
    video = VideoFormat(width=640, height=360)
    engine = Engine(gpu, video, 4, reuse_threshold=0)
    expected = {each: copied(submit(Engine(each, video, 1), picture(video)).host_out) for each in (gpu, lanczos)}
    for _ in range(3):
        for slot, upscaler in zip(engine.slots, (gpu, lanczos, gpu, lanczos), strict=True):
            for source, target in zip(picture(video), slot.host_in, strict=True):
                target[:] = source
            engine.use(upscaler)
            engine.submit(slot)
        for slot, upscaler in zip(engine.slots, (gpu, lanczos, gpu, lanczos), strict=True):
            slot.wait()
            for a, b in zip(slot.host_out, expected[upscaler], strict=True):
                assert np.abs(a.astype(int) - b).max() <= 8
