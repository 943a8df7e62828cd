"""The steps of a recipe, carried out: pictures (H, W, 3) uint8 RGB in, the same out, none of them moved or tinted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
import torch
from PIL import Image

from lipt_stream.engine.color import TorchColors
from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.round_trip import round_trip
from lipt_stream.train.evaluate import Uint8Image
from lipt_stream.train.imresize import imresize
from lipt_stream.train.recipe import Blur, Generation, Kernel, Motion, Noise

_PILLOW: Final = {
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}
_ROW: Final = 128
"""A coded picture's width is a multiple, its height no less. FFmpeg hands encoders lines with unwritten memory behind
them; x264 reads there, x265 does in small pictures, and no two runs of theirs would agree."""
_MPEG2_SIDE: Final = 4096
"""No side of its pictures is a multiple: of a size's last twelve bits not all may be 0 (ISO 13818-2, 6.3.3)."""


def blurred(image: Uint8Image, blur: Blur) -> Uint8Image:
    """Separable gaussian; edges mirror."""
    result = image.astype(np.float32)
    for axis, sigma in ((0, blur.sigma_y), (1, blur.sigma_x)):
        radius = max(math.ceil(3 * sigma), 1)
        weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2), dtype=np.float32)
        weights /= weights.sum()
        margins = [(radius, radius) if axis == other else (0, 0) for other in range(3)]
        padded, length = np.pad(result, margins, mode="symmetric"), image.shape[axis]
        result = sum(
            (weight * padded.take(range(start, start + length), axis) for start, weight in enumerate(weights)),
            start=np.zeros_like(result),
        )
    return _rounded(result)


def shrunk(image: Uint8Image, scale: int, size: float, kernel: Kernel) -> Uint8Image:
    """To 1/`scale` times `size` of its sides, which are multiples of `scale`; antialiased by every kernel."""
    if scale == 1 and size == 1:
        return image
    if kernel == "matlab" and size == 1:
        return imresize(image, Fraction(1, scale))
    height, width = (round(side // scale * size) for side in image.shape[:2])
    return resized(image, height, width, kernel)


def resized(image: Uint8Image, height: int, width: int, kernel: Kernel = "bicubic") -> Uint8Image:
    """To any size, the corners staying where they are. "matlab" is bicubic here: the two differ at the edges alone."""
    if image.shape[:2] == (height, width):
        return image
    filter = _PILLOW.get(kernel, Image.Resampling.BICUBIC)
    return np.asarray(Image.fromarray(image).resize((width, height), filter))


def moved(image: Uint8Image, motion: Motion) -> list[Uint8Image]:
    """The pictures of a camera's way over a still, mirrored at its edges; the one numbered `shown` is untouched."""
    height, width = image.shape[:2]
    reach = max(motion.shown, motion.frames - 1 - motion.shown)
    spread = math.exp(abs(motion.zoom) * reach) - 1
    margin = math.ceil(reach * max(abs(motion.dx), abs(motion.dy)) + spread * max(height, width) / 2) + 3
    padded = Image.fromarray(np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric"))

    def at(number: int) -> Uint8Image:
        time = number - motion.shown
        if time == 0 or (motion.dx, motion.dy, motion.zoom) == (0, 0, 0):
            return image
        grow = math.exp(motion.zoom * time)
        left = margin + (1 - grow) * width / 2 + motion.dx * time
        top = margin + (1 - grow) * height / 2 + motion.dy * time
        window = padded.transform(
            (width, height), Image.Transform.AFFINE, (grow, 0, left, 0, grow, top), Image.Resampling.BICUBIC
        )
        return np.asarray(window)

    return [at(number) for number in range(motion.frames)]


def noisy(image: Uint8Image, noise: Noise, rng: np.random.Generator) -> Uint8Image:
    shape = (*image.shape[:2], 1) if noise.is_gray else image.shape
    if noise.kind == "gaussian":
        return _rounded(image + noise.sigma * rng.standard_normal(shape, dtype=np.float32))
    # n photons have a deviation of sqrt(n): as many for white as make `sigma` of it
    photons_per_step = 255 / noise.sigma**2
    level = image.mean(axis=2, keepdims=True) if noise.is_gray else image.astype(np.float64)
    return _rounded(image + (rng.poisson(level * photons_per_step) / photons_per_step - level))


def coded(images: Sequence[Uint8Image], generation: Generation) -> list[Uint8Image]:
    """Consecutive pictures of a film, coded as 8-bit YUV 4:2:0 in studio range and decoded.

    The conversions are those of the engine, so that a network is trained on the RGB that it will be given.
    """
    height, width = images[0].shape[:2]
    bottom, right = max(_ROW, height + height % 2) - height, -width % _ROW
    if generation.coding.encoder == "mpeg2video":
        bottom += 2 * ((height + bottom) % _MPEG2_SIDE == 0)
        right += _ROW * ((width + right) % _MPEG2_SIDE == 0)
    video = VideoFormat(
        width=width + right,
        height=height + bottom,
        color_space=generation.matrix,
        chroma_location=generation.siting,
    )
    colors, as_rgb = TorchColors(video, video, torch.device("cpu")), RgbPictures(video)
    padded = (np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="symmetric") for image in images)
    back = round_trip([_planes(image, colors, video) for image in padded], video, generation.coding)
    return [as_rgb(planes)[:height, :width] for planes in back]


def _planes(image: Uint8Image, colors: TorchColors, video: VideoFormat) -> Planes:
    planes = video.new_planes()
    rgb = torch.as_tensor(image.transpose(2, 0, 1).astype(np.float32))[None] / 255
    y, u, v = (torch.as_tensor(plane) for plane in planes)
    colors.to_planes(rgb, (y, u, v))
    return planes


def _rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Uint8Image:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)
