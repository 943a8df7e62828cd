"""From planes to larger planes: colour conversion on both sides of an upscaler of RGB images, or straight through."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor

from lipt_stream.engine.color import Colors, DevicePlanes, make_colors
from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.one_thread import one_thread
from lipt_stream.frame import VideoFormat


class ImageUpscaler(Protocol):
    """What an Engine asks of an `Upscaler`, and of a `LanczosUpscaler` in its place."""

    @property
    def scale(self) -> int: ...

    @property
    def device(self) -> torch.device: ...

    def run(self, images: Tensor, at_once: int = 1) -> Tensor:
        """`(N, 3, H, W)` float in 0..1 on `device` -> `(N, 3, scale*H, scale*W)` float, about 0..1, not clamped.

        One of `at_once` calls that go on at the same time."""
        ...


class PlanesUpscaler:
    """Upscales pictures of one format on one device, by whatever upscaler it is handed: `batch` at a time.

    The upscaler always sees a whole batch, whose unused places hold what was there before: a result then depends on
    its own picture alone, to the bit, because libraries choose their kernels by the number of images.
    Memory held: colour's scratch, and `batch` RGB pictures in float32 in every precision, because half precision could
    not tell apart the codes of 12 bits.
    """

    def __init__(self, source: VideoFormat, scale: int, device: torch.device, *, batch: int = 1) -> None:
        self.source, self.target = source, source.scaled(scale)
        self.device = device
        self.batch = batch
        self._colors: Colors = make_colors(self.source, self.target, device)
        self._rgb = torch.zeros((batch, 3, source.height, source.width), device=device)

    def run(
        self,
        upscaler: ImageUpscaler,
        pictures: Sequence[DevicePlanes],
        results: Sequence[DevicePlanes],
        at_once: int = 1,
    ) -> None:
        """Fill `results` (of the target's format) from `pictures` (of the source's), at most `batch` of them.

        One of `at_once` calls that go on at the same time, each on a PlanesUpscaler of its own."""
        if isinstance(upscaler, LanczosUpscaler):
            for planes, result in zip(pictures, results, strict=True):
                upscaler.run_planes(self.source, planes, result)
            return
        for k, planes in enumerate(pictures):
            self._colors.to_rgb(planes, self._rgb[k : k + 1])
        enlarged = upscaler.run(self._rgb, at_once)
        for k, result in enumerate(results):
            self._colors.to_planes(enlarged[k : k + 1], result)

    def warm_up(self, upscaler: ImageUpscaler) -> None:
        """One call on blank pictures: `upscaler` compiles for this size, and reserves its memory."""
        blank = [new_planes(self.source, self.device)] * self.batch
        self.run(upscaler, blank, [new_planes(self.target, self.device)] * self.batch)


def new_planes(video: VideoFormat, device: torch.device, *, pinned: bool = False) -> DevicePlanes:
    """Zeroed planes of a format. `pinned`: in host memory that a GPU copies from and to by itself."""
    dtype = torch.uint8 if video.bit_depth == 8 else torch.uint16
    y, u, v = (torch.zeros(shape, dtype=dtype, device=device, pin_memory=pinned) for shape in video.plane_shapes)
    return y, u, v


def copy_planes(planes: DevicePlanes, result: DevicePlanes) -> None:
    """Between buffers of one format; a copy between pinned memory and a GPU is enqueued and not waited for."""
    with one_thread() if result[0].device.type == "cpu" else nullcontext():
        for source, target in zip(planes, result, strict=True):
            target.copy_(source, non_blocking=True)


def part(video: VideoFormat, rows: slice, columns: slice) -> VideoFormat:
    """The format of such a part."""
    return dataclasses.replace(video, width=columns.stop - columns.start, height=rows.stop - rows.start)
