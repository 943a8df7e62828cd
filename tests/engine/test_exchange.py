"""An engine is given another upscaler between two frames."""

from __future__ import annotations

import pytest

from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.reuse import PATIENCE
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import VideoFormat
from tests.engine.driven_engine import CPU, assert_equal, every_tile, picture, submit


@pytest.fixture(scope="module")
def nano() -> Upscaler:
    return Upscaler.load("nano-x2", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def lanczos() -> LanczosUpscaler:
    return LanczosUpscaler(2, CPU)


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
