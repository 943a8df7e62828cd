"""The newest picture before and after, as RGB for people: what the page's snapshot saves."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lipt_stream.engine.color import make_colors
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.live.control import Stills


def as_stills(source: Planes, result: Planes, source_format: VideoFormat, target_format: VideoFormat) -> Stills:
    """Planes of both formats, of one moment, as RGB."""
    scale = target_format.height // source_format.height
    return Stills(_rgb(source, source_format), _rgb(result, target_format), scale)


def _rgb(planes: Planes, format: VideoFormat) -> NDArray[np.uint8]:
    """(H, W, 3) uint8."""
    cpu = torch.device("cpu")
    rgb = torch.empty((1, 3, format.height, format.width))
    y, u, v = (torch.from_numpy(plane) for plane in planes)  # pyright: ignore[reportUnknownMemberType]
    make_colors(format, format, cpu).to_rgb((y, u, v), rgb)
    pixels = rgb[0].mul(255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous()
    return pixels.numpy()
