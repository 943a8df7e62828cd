"""An engine driven picture by picture, and what tiles have to be, computed the plain way."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from lipt_stream.engine.color import make_colors
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.planes import ImageUpscaler
from lipt_stream.engine.reuse import ALIGN, CORE, HALO, PATIENCE
from lipt_stream.engine.slots import Engine, Slot
from lipt_stream.engine.tiling import fixed_plan, window
from lipt_stream.frame import Planes, VideoFormat

CPU = torch.device("cpu")
TILE = CORE + 2 * HALO


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
