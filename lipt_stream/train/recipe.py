"""What happens to one picture on its way to a viewer, drawn at random: lens, scaler, sensor, camera work, encoders.

The shares are a guess at what people hold in their hands: mostly H.264 between good and poor, the rest of HEVC, VP9
and MPEG-2, a fifth of it clean or nearly so, a fifth coded twice. Qualities are drawn on x264's crf scale and
translated to each encoder's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from lipt_stream.errors import SettingsError
from lipt_stream.frame import BT709, SMPTE170M
from lipt_stream.media.coding import Coding
from lipt_stream.model.weights import Task

Kernel: TypeAlias = Literal["matlab", "bicubic", "lanczos", "bilinear", "area"]
Siting: TypeAlias = Literal["left", "center", "topleft"]

_FINE_CRF: Final = (10.0, 17.0)
_UPLOAD_CRF: Final = (16.0, 24.0)  # of the first of two generations: what is handed to a service to be coded again
_X264_PRESETS: Final = ("superfast", "veryfast", "faster", "fast", "medium")
_X265_PRESETS: Final = ("ultrafast", "superfast", "veryfast", "fast")


@dataclass(frozen=True, slots=True)
class Degradation:
    """What a network is to undo.

    Args:
        task: "sr": smaller, and as films are; "deblock": coded at full size; "denoise": noise alone, as in the papers.
        scale: 2, 3 or 4 for "sr", 1 for the others.
        clean_share: how many of the pictures are clean (one half) or nearly clean (the other), 0..1; not of "denoise".
        crf: the range of quality of the others, on x264's scale.
        sigma: the range of noise of "denoise", in steps of 8-bit samples.

    Raises SettingsError for a scale that the task does not have.
    """

    task: Task = "sr"
    scale: int = 2
    clean_share: float = 0.2
    crf: tuple[float, float] = (18.0, 36.0)
    sigma: tuple[float, float] = (5.0, 50.0)

    def __post_init__(self) -> None:
        scales = (2, 3, 4) if self.task == "sr" else (1,)
        if self.scale not in scales:
            known = ", ".join(map(str, scales))
            raise SettingsError(f"The task {self.task} has no scale {self.scale}", f"It has {known}.")


@dataclass(frozen=True, slots=True)
class Blur:
    """A gaussian lens, its deviations along x and y in pixels of the full-size picture."""

    sigma_x: float
    sigma_y: float


@dataclass(frozen=True, slots=True)
class Noise:
    """New in each picture of a film. `sigma` in 8-bit steps; of "poisson" that of white, darker tones have less.
    `is_gray`: the same in all three channels."""

    kind: Literal["gaussian", "poisson"]
    sigma: float
    is_gray: bool


@dataclass(frozen=True, slots=True)
class Motion:
    """A camera over a still: `frames` pictures, in which the one numbered `shown` is the still itself.
    `dx`, `dy`: pixels a picture; `zoom`: growth a picture."""

    frames: int = 1
    shown: int = 0
    dx: float = 0.0
    dy: float = 0.0
    zoom: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """One coding of the film: by what, at which size relative to the low resolution, in which YUV (H.273 matrix)."""

    coding: Coding
    size: float
    matrix: int
    siting: Siting


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that was drawn, in the order in which it happens. The default is the field's bicubic shrinking."""

    blur: Blur | None = None
    kernel: Kernel = "matlab"
    motion: Motion = Motion()
    noise: Noise | None = None
    generations: tuple[Generation, ...] = ()


def draw(degradation: Degradation, rng: np.random.Generator) -> Recipe:
    """A recipe for one picture."""
    if degradation.task == "denoise":
        return Recipe(noise=_paper_noise(degradation, rng))
    luck = rng.random()
    if luck < degradation.clean_share / 2:
        return Recipe()
    if luck < degradation.clean_share:
        fine = _generation(_FINE_CRF, 1.0, rng)
        return Recipe(kernel=_kernel(rng), motion=_motion(rng), generations=(fine,))
    is_smaller = degradation.task == "sr"
    generations = _generations(degradation.crf, rng, sizes=(1.0, 1.5) if is_smaller else (1.0,))
    if not is_smaller:
        return Recipe(motion=_motion(rng), generations=generations)
    return Recipe(
        blur=_blur(degradation.scale, rng) if rng.random() < 0.3 else None,
        kernel=_kernel(rng),
        motion=_motion(rng),
        noise=_film_noise(rng) if rng.random() < 0.35 else None,
        generations=generations,
    )


def _blur(scale: int, rng: np.random.Generator) -> Blur:
    """Round in half of the cases. At most half of a low-resolution pixel: more is another network's work."""
    sigma_x, sigma_y = rng.uniform(0.15, 0.5, 2) * scale
    return Blur(sigma_x, sigma_x if rng.random() < 0.5 else sigma_y)


def _kernel(rng: np.random.Generator) -> Kernel:
    kernels: tuple[Kernel, ...] = ("matlab", "bicubic", "lanczos", "bilinear", "area")
    return kernels[rng.choice(5, p=[0.25, 0.3, 0.2, 0.1, 0.15])]


def _motion(rng: np.random.Generator) -> Motion:
    """At rest in a fifth of the cases, moved by up to 3 pixels a picture in the others, and half of those zoomed."""
    frames = int(rng.integers(3, 9))
    shown = int(rng.integers(frames))
    if rng.random() < 0.2:
        return Motion(frames, shown)
    dx, dy = rng.uniform(-3, 3, 2)
    return Motion(frames, shown, dx, dy, rng.uniform(-0.005, 0.005) if rng.random() < 0.5 else 0.0)


def _film_noise(rng: np.random.Generator) -> Noise:
    return Noise(_noise_kind(rng, 0.5), rng.uniform(0.5, 6.0), is_gray=rng.random() < 0.5)


def _paper_noise(degradation: Degradation, rng: np.random.Generator) -> Noise:
    """Independent in each channel; gaussian in four of five cases, as the papers measure it."""
    return Noise(_noise_kind(rng, 0.2), rng.uniform(*degradation.sigma), is_gray=False)


def _noise_kind(rng: np.random.Generator, poisson: float) -> Literal["gaussian", "poisson"]:
    return "poisson" if rng.random() < poisson else "gaussian"


def _generations(
    crf: tuple[float, float], rng: np.random.Generator, sizes: tuple[float, ...]
) -> tuple[Generation, ...]:
    last = _generation(crf, 1.0, rng)
    if rng.random() >= 0.2:
        return (last,)
    return _generation(_UPLOAD_CRF, sizes[rng.integers(len(sizes))], rng), last


def _generation(crf: tuple[float, float], size: float, rng: np.random.Generator) -> Generation:
    sitings: tuple[Siting, ...] = ("left", "center", "topleft")
    return Generation(
        coding=_coding(rng.uniform(*crf), rng),
        size=size,
        matrix=BT709 if rng.random() < 0.5 else SMPTE170M,
        siting=sitings[rng.choice(3, p=[0.85, 0.1, 0.05])],
    )


def _coding(crf: float, rng: np.random.Generator) -> Coding:
    """An encoder at about the quality of x264 at `crf`; H.264 in a fifth of the cases at a rate instead.

    The translations were fitted by Y-PSNR over eleven of the training images, 256x256 pixels in five pictures.
    """
    encoder = ("libx264", "libx265", "libvpx-vp9", "mpeg2video")[rng.choice(4, p=[0.5, 0.2, 0.15, 0.15])]
    if encoder == "libx264":
        preset = ("preset", _X264_PRESETS[rng.integers(len(_X264_PRESETS))])
        if rng.random() < 0.2:
            return Coding(encoder, (preset,), bits_per_pixel=0.4 * 2 ** ((23 - crf) / 6))
        return Coding(encoder, (preset, ("crf", f"{crf:.1f}")))
    if encoder == "libx265":
        preset = ("preset", _X265_PRESETS[rng.integers(len(_X265_PRESETS))])
        return Coding(encoder, (preset, ("crf", f"{crf + 3:.1f}")))
    if encoder == "libvpx-vp9":
        speed = ("cpu-used", str(rng.integers(4, 9)))
        quality = ("crf", f"{min(2 * crf - 8, 63):.0f}")
        # Without a rate of 0 its crf would only be the best quality that the rate may be spent on.
        return Coding(encoder, (("deadline", "realtime"), speed, quality), bits_per_pixel=0.0)
    quantiser = f"{min(2 ** ((crf - 8) / 6), 31):.0f}"
    return Coding(encoder, (("bf", str(rng.integers(3))), ("qmin", quantiser), ("qmax", quantiser)))
