"""Training images, whole and as uint8 on the device that trains; random crops of them, turned every way."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipt_stream.errors import InputError, one_line
from lipt_stream.train.evaluate import as_rgb, read_image


@dataclass(frozen=True, slots=True)
class Crops:
    """Which squares a batch takes, (N,) int64 each: the image, its left and top pixel, and one of the eight turns."""

    image: Tensor
    top: Tensor
    left: Tensor
    turn: Tensor

    def scaled(self, scale: int) -> Crops:
        """The same squares in images that are `scale` times as large."""
        return Crops(self.image, self.top * scale, self.left * scale, self.turn)


class PackedImages:
    """Images of any size one behind the other in one buffer, so that one gather cuts a whole batch of crops."""

    def __init__(self, images: list[NDArray[np.uint8]], device: torch.device) -> None:
        """`images`: (H, W, 3) uint8 RGB each; the list is empty afterwards, so that none need be in memory twice. Takes
        H * W * 3 bytes of the device's memory for each."""
        sizes = torch.tensor([image.shape[:2] for image in images])
        ends = (3 * sizes.prod(dim=1)).cumsum(0)
        flat = np.empty(int(ends[-1]), np.uint8)
        end = len(flat)
        while images:
            image = images.pop().reshape(-1)
            flat[end - image.size : end] = image
            end -= image.size
        self.pixels = torch.as_tensor(flat, device=device)
        self.offsets = torch.cat((torch.zeros(1, dtype=torch.int64), ends[:-1])).to(device)
        self.heights, self.widths = sizes.to(device).unbind(1)
        self.device = device

    def __len__(self) -> int:
        return len(self.offsets)

    def draw(self, count: int, side: int, generator: torch.Generator) -> Crops:
        """Random squares of `side` pixels that lie inside; an image is drawn as often as its area says."""
        image = torch.multinomial((self.heights * self.widths).float(), count, replacement=True, generator=generator)
        place = torch.rand(2, count, generator=generator, device=self.device)
        turn = torch.randint(8, (count,), generator=generator, device=self.device)
        top = (place[0] * (self.heights[image] - side + 1)).long()
        left = (place[1] * (self.widths[image] - side + 1)).long()
        return Crops(image, top, left, turn)

    def cut(self, crops: Crops, side: int) -> Tensor:
        """The squares as (N, 3, side, side) uint8, each flipped or rotated by its turn."""
        step = torch.arange(side, device=self.device)
        y, x = step[None, :, None], step[None, None, :]  # of the result
        turn = crops.turn[:, None, None]
        y, x = torch.where(turn & 1 > 0, x, y), torch.where(turn & 1 > 0, y, x)
        y = torch.where(turn & 2 > 0, side - 1 - y, y)
        x = torch.where(turn & 4 > 0, side - 1 - x, x)
        row = self.widths[crops.image][:, None, None]
        pixel = (crops.top[:, None, None] + y) * row + crops.left[:, None, None] + x
        index = self.offsets[crops.image][:, None, None] + 3 * pixel  # (N, side, side)
        return torch.stack([self.pixels[index + color] for color in range(3)], dim=1)


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that training goes without, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return one_line(f"left out: {self.reason}")


def read_images(
    paths: Sequence[Path], least_side: int, threads: int, least_told: str
) -> tuple[list[Path], list[NDArray[np.uint8]], list[Skipped]]:
    """Read images as (H, W, 3) uint8; those that cannot be read or have a side below `least_side`, which
    `least_told` puts into words, are named.

    Gray images become three equal channels; transparency is ignored. Returns the paths and images that can be used.
    """
    with ThreadPoolExecutor(threads) as pool:
        read = list(pool.map(_read, paths, repeat(least_side), repeat(least_told)))
    skipped = [result for result in read if isinstance(result, Skipped)]
    usable = [(path, result) for path, result in zip(paths, read, strict=True) if not isinstance(result, Skipped)]
    return [path for path, _ in usable], [image for _, image in usable], skipped


def _read(path: Path, least_side: int, least_told: str) -> NDArray[np.uint8] | Skipped:
    try:
        image = read_image(path)
    except InputError as error:
        return Skipped(path, str(error))
    if min(image.shape[:2]) < least_side:
        return Skipped(path, f"{path} is {image.shape[1]}x{image.shape[0]}, less than {least_told}")
    return as_rgb(image)
