"""A full-size picture as a film of poor quality would have shown it.

`recipe.py` draws what happens to a picture, `distort.py` does it; here a recipe is carried out for one picture
(`degrade`) or one moment of a film (`degrade_film`). `pairs.py` does it for many images, and keeps what was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from lipt_stream.errors import InputError
from lipt_stream.train.distort import blurred, coded, moved, noisy, resized, shrunk
from lipt_stream.train.evaluate import Uint8Image, as_rgb
from lipt_stream.train.recipe import Degradation, Recipe, draw

LEAST_SIDE: Final = 8  # of a low-resolution picture


def degrade(image: Uint8Image, degradation: Degradation, seed: int) -> Uint8Image:
    """What `image` became on its way to a viewer; the same for the same seed.

    Args:
        image: (H, W, 3) RGB or (H, W) gray, uint8. What exceeds a multiple of the scale is cut at the right and bottom.

    Returns:
        (H // scale, W // scale, 3) uint8, in place: pixel (y, x) shows what pixels from (scale * y, scale * x) show.

    Raises InputError for an image of less than 8 low-resolution pixels a side.
    """
    rng = np.random.default_rng(seed)
    recipe = draw(degradation, rng)
    still = _shrunk(_prepared(image, degradation.scale), recipe, degradation.scale)
    height, width = (side // degradation.scale for side in image.shape[:2])
    return _recorded(moved(still, recipe.motion), recipe, height, width, rng)[recipe.motion.shown]


def degrade_film(pictures: Sequence[Uint8Image], shown: int, degradation: Degradation, seed: int) -> Uint8Image:
    """As `degrade`, of consecutive pictures of a film with its own motion: the one numbered `shown` is returned."""
    rng = np.random.default_rng(seed)
    recipe = draw(degradation, rng)
    if not recipe.generations:
        pictures, shown = pictures[shown : shown + 1], 0
    small = [_shrunk(_prepared(picture, degradation.scale), recipe, degradation.scale) for picture in pictures]
    height, width = (side // degradation.scale for side in pictures[0].shape[:2])
    return _recorded(small, recipe, height, width, rng)[shown]


def _prepared(image: Uint8Image, scale: int) -> Uint8Image:
    height, width = image.shape[:2]
    if min(height, width) < LEAST_SIDE * scale:
        raise InputError(f"An image of {width}x{height} is too small to be degraded at x{scale}", "Leave it out.")
    return as_rgb(image)[: height - height % scale, : width - width % scale]


def _shrunk(image: Uint8Image, recipe: Recipe, scale: int) -> Uint8Image:
    """Through the lens, and to the size at which it is first recorded."""
    size = recipe.generations[0].size if recipe.generations else 1.0
    return shrunk(blurred(image, recipe.blur) if recipe.blur else image, scale, size, recipe.kernel)


def _recorded(
    pictures: Sequence[Uint8Image], recipe: Recipe, height: int, width: int, rng: np.random.Generator
) -> Sequence[Uint8Image]:
    """Noise, then every coding at its own size; at the end at (height, width)."""
    if recipe.noise:
        pictures = [noisy(picture, recipe.noise, rng) for picture in pictures]
    for generation in recipe.generations:
        rows, columns = round(height * generation.size), round(width * generation.size)
        pictures = coded([resized(picture, rows, columns) for picture in pictures], generation)
    return [resized(picture, height, width) for picture in pictures]
