"""Reuse and the exchange of upscalers on a GPU, with frames in flight."""

from __future__ import annotations

import numpy as np
import pytest

from lipt_stream.engine import reuse
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import PixFmt, VideoFormat
from tests.engine.driven_engine import assert_equal, copied, in_tiles, picture, submit


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
