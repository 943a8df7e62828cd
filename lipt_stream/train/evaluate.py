"""The field's evaluation of super-resolution: PSNR and SSIM on Y against the full-size original.

Protocol (Timofte et al. 2014, followed by the papers LIPT compares with): the low resolution is made by MATLAB's
bicubic `imresize` and rounded to 8 bits; the result is rounded to 8 bits; Y is that of studio-range BT.601; `scale`
pixels are cut from each border.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lipt_stream.errors import InputError
from lipt_stream.train.imresize import Kernel, imresize

Uint8Image: TypeAlias = NDArray[np.uint8]
Plane: TypeAlias = NDArray[np.float64]
Upscale: TypeAlias = Callable[[Uint8Image], Uint8Image]
"""RGB (H, W, 3) uint8 -> RGB (scale * H, scale * W, 3) uint8."""

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
SSIM_WINDOW: Final = 11


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What one image scored: PSNR in dB (infinite where identical) and SSIM in -1..1, both on Y."""

    name: str
    psnr_y: float
    ssim_y: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What a folder scored: the plain mean over its images, and each image in order of name."""

    psnr_y: float
    ssim_y: float
    images: tuple[ImageScore, ...]


def evaluate(upscale: Upscale, images_dir: Path, scale: int) -> Scores:
    """Shrink every image of a folder by `scale`, enlarge it with `upscale`, compare with the original.

    Originals are cropped at the right and bottom to a multiple of `scale`. A gray image goes through `upscale` as
    three equal channels, and its gray values are compared as they are, not through Y.

    Raises:
        InputError: no such folder, no image in it, or one that cannot be read or is too small to be compared.
        ValueError: `upscale` returned something other than (scale * H, scale * W, 3) uint8.
    """
    images = tuple(_score(upscale, path, scale) for path in find_images(images_dir))
    return Scores(
        psnr_y=math.fsum(image.psnr_y for image in images) / len(images),
        ssim_y=math.fsum(image.ssim_y for image in images) / len(images),
        images=images,
    )


def baselines(images_dir: Path, scale: int) -> dict[str, Scores]:
    """What interpolation alone scores: {"bicubic": ..., "lanczos": ...}, the latter with three lobes."""
    kernels: dict[str, Kernel] = {"bicubic": "cubic", "lanczos": "lanczos3"}
    return {
        name: evaluate(lambda image, kernel=kernel: imresize(image, scale, kernel), images_dir, scale)
        for name, kernel in kernels.items()
    }


def find_images(images_dir: Path) -> list[Path]:
    """The images directly in a folder, by name. Raises InputError where there is none."""
    if not (found := list_images(images_dir)):
        within = [path.name for path in images_dir.iterdir() if path.is_dir() and list_images(path)]
        hint = f"Name a folder in it ({', '.join(sorted(within)[:3])}), or add --all" if within else ""
        known = "Known suffixes: " + " ".join(sorted(IMAGE_SUFFIXES))
        raise InputError(f"{images_dir} holds no image", hint or known)
    return found


def list_images(images_dir: Path) -> list[Path]:
    """The images directly in a folder, by name. Raises InputError where it is none, or cannot be looked into."""
    require_folder(images_dir, "Give a folder of full-size images")
    there = (path for path in images_dir.iterdir() if not path.name.startswith("."))  # ._a.png is no image: a Mac's
    return sorted(path for path in there if path.suffix.lower() in IMAGE_SUFFIXES)


def require_folder(folder: Path, hint: str) -> None:
    """InputError where it is none, `hint` saying what to do, or cannot be looked into."""
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder} is not a folder", hint) from error
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}", "Check the path") from error


def quiet_pillow() -> None:
    """Its warnings name no file. Large photographs are welcome, nothing is taken from damaged metadata, and an image
    that cannot be read is an error."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def is_special(path: Path) -> bool:
    """Whether it is there and no file with a content, but a named pipe, say, which would be waited for, for ever."""
    try:
        return path.exists() and not path.is_file()
    except OSError:  # a link that may not be followed; whoever reads it is told why
        return False


def image_size(path: Path) -> tuple[int, int]:
    """Width and height by the head of the file; (0, 0) where it is none of an image, as `read_image` will say."""
    try:
        with _opened(path) as image:
            return image.size
    except InputError:
        return 0, 0


def read_image(path: Path) -> Uint8Image:
    """Read an image as uint8: (H, W) where it is gray, else RGB (H, W, 3). Transparency and EXIF turns are ignored, 16
    bits a sample become 8.

    Raises:
        InputError: not an image, damaged, too large to be decoded safely, or gray of more than 8 bits in another format
            than PNG: Pillow does not tell what is white there.
    """
    with _opened(path) as image:
        if image.mode.startswith("I;16") and image.format == "PNG":
            return np.rint(np.asarray(image) / 257.0).astype(np.uint8)
        if image.mode.startswith(("I", "F")):  # Pillow would clip these at 255 instead of scaling them
            raise InputError(f"{path} has more than 8 bits a sample", "Convert it to 8 bits, or to PNG")
        if image.mode == "P" and "transparency" in image.info:  # as Pillow warns that it wants it
            return np.asarray(image.convert("RGBA").convert("RGB"))
        gray = image.mode in ("1", "L", "LA")
        return np.asarray(image.convert("L" if gray else "RGB"))


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    """The image, its first picture where it holds several. InputError for what goes wrong with it within."""
    if is_special(path):
        raise InputError(f"{path} is not a regular file", "Remove or replace it")
    try:
        with Image.open(path) as image:
            yield image
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the format is told by the content, and plug-ins of rare ones raise what they like
        raise InputError(f"{path} cannot be read as an image: {_why(error)}", "Remove or replace it") from error


def _why(error: Exception) -> str:
    """Without the path, which Python and Pillow repeat."""
    if isinstance(error, UnidentifiedImageError):
        return "its content is of no kind that is known"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def as_rgb(image: Uint8Image) -> Uint8Image:
    """(H, W) gray as three equal channels; (H, W, 3) as it is."""
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def psnr_y(result: Uint8Image, original: Uint8Image, border: int) -> float:
    """Peak signal-to-noise ratio of luma in dB, peak 255; infinite for equal images.

    Args:
        result, original: (H, W, 3) RGB or (H, W) gray, uint8, of one shape.
        border: pixels cut from every side first; by custom the scale.
    """
    difference = _comparable(result, border) - _comparable(original, border)
    error = float(np.mean(difference**2))
    return 10 * math.log10(255.0**2 / error) if error > 0 else math.inf


def ssim_y(result: Uint8Image, original: Uint8Image, border: int) -> float:
    """Structural similarity of luma (Wang et al. 2004): gaussian window 11x11, sigma 1.5, K = 0.01, 0.03, L = 255.

    The mean over windows wholly inside the image, as the authors' MATLAB code takes it. Arguments as in `psnr_y`;
    at least 11x11 pixels must remain within the border, else ValueError.
    """
    x, y = _comparable(result, border), _comparable(original, border)
    if min(x.shape) < SSIM_WINDOW:
        raise ValueError(f"SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW} pixels, {x.shape[1]}x{x.shape[0]} remain")
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _gaussian(x), _gaussian(y)
    variance_x = _gaussian(x * x) - mean_x**2
    variance_y = _gaussian(y * y) - mean_y**2
    covariance = _gaussian(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean(luminance * structure))


def luma(rgb: Uint8Image) -> Plane:
    """Y of BT.601 in studio range, 16..235, unrounded: (H, W, 3) uint8 -> (H, W) float64. MATLAB's `rgb2ycbcr`."""
    return 16.0 + rgb.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255.0


def require_comparable(path: Path, scale: int) -> None:
    """InputError where the image says that it is too small to be compared at a scale. One that cannot be read passes:
    who reads it says why."""
    least = math.ceil((SSIM_WINDOW + 2 * scale) / scale) * scale
    width, height = image_size(path)
    if 0 < min(width, height) < least:
        raise InputError(f"{path} is too small to be compared at x{scale}", f"It takes {least}x{least} pixels")


def _score(upscale: Upscale, path: Path, scale: int) -> ImageScore:
    require_comparable(path, scale)
    try:
        return _compared(upscale, path, scale)
    except MemoryError as error:
        raise InputError(f"{path} is too large for the memory that is free", "Leave it out, or cut it") from error


def _compared(upscale: Upscale, path: Path, scale: int) -> ImageScore:
    original = _crop_to_multiple(read_image(path), scale)
    small = imresize(original, Fraction(1, scale))
    result = upscale(as_rgb(small))
    expected = (*original.shape[:2], 3)
    if result.shape != expected or result.dtype != np.uint8:
        raise ValueError(f"upscale returned {result.shape} {result.dtype}, not {expected} uint8")
    if original.ndim == 2:
        result = _gray(result)
    return ImageScore(path.name, psnr_y(result, original, scale), ssim_y(result, original, scale))


def _crop_to_multiple(image: Uint8Image, scale: int) -> Uint8Image:
    height, width = image.shape[:2]
    return image[: height - height % scale, : width - width % scale]


def _gray(rgb: Uint8Image) -> Uint8Image:
    """Full-range gray of a result that should be gray: the mean of its channels, which a network may tint by a step."""
    return np.floor(rgb.mean(axis=2) + 0.5).astype(np.uint8)


def _comparable(image: Uint8Image, border: int) -> Plane:
    height, width = image.shape[:2]
    inner = image[border : height - border, border : width - border]
    if inner.size == 0:
        raise ValueError(f"nothing of {width}x{height} pixels remains within a border of {border}")
    return inner.astype(np.float64) if inner.ndim == 2 else luma(inner)


def _gaussian(plane: Plane) -> Plane:
    """Gaussian mean over each full 11x11 window: (H, W) -> (H - 10, W - 10), separably."""
    for axis in (0, 1):
        plane = _slide(plane, axis)
    return plane


def _slide(plane: Plane, axis: int) -> Plane:
    """Correlate one axis with the window; only places where it fits."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, SSIM_WINDOW, axis)
    return windows @ _WINDOW


def _window() -> Plane:
    offsets = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    return weights / weights.sum()


_WINDOW: Final = _window()
