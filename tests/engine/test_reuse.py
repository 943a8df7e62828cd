"""Reuse changes nothing: every frame is, to the bit, what computing all of it anew gives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.engine import reuse
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.planes import ImageUpscaler
from lipt_stream.engine.reuse import ALIGN, CORE, HALO, PATIENCE
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.tiling import fixed_plan
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import PixFmt, Planes, VideoFormat
from lipt_stream.media.file_source import FileSource
from tests.engine.driven_engine import CPU, TILE, assert_equal, copied, every_tile, in_tiles, picture, submit


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def lanczos() -> LanczosUpscaler:
    return LanczosUpscaler(2, CPU)


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
