"""Pictures of a film as RGB of 8 bits: for people, for programs, and to train on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from lipt_stream.engine.color import make_colors
from lipt_stream.frame import Planes, VideoFormat


class RgbPictures:
    """What turns planes of one format into RGB, on the CPU, by the conversion that networks are given theirs by."""

    def __init__(self, video: VideoFormat) -> None:
        """Raises InputError for a colour matrix that has no linear RGB."""
        back = replace(video, width=2, height=2)  # nothing is turned back, which would take as much memory again
        self._colors = make_colors(video, back, torch.device("cpu"))
        self._rgb = torch.empty((1, 3, video.height, video.width))

    def __call__(self, planes: Planes) -> NDArray[np.uint8]:
        """(H, W, 3), rounded and clamped, in memory of its own."""
        y, u, v = (torch.as_tensor(plane) for plane in planes)
        self._colors.to_rgb((y, u, v), self._rgb)
        return self._rgb[0].mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
