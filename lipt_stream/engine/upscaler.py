"""Upscaler: a network, its weights and the device it runs on, as one callable. Images in, larger images out."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor

from lipt_stream.engine.device_errors import is_out_of_memory, translated
from lipt_stream.engine.free_memory import fitting_pixels
from lipt_stream.engine.runtimes import Precision, Runtime, RuntimeName, make_runtime
from lipt_stream.engine.tiling import TilePlan, apply_tiled, plan_tiles, smallest_tile
from lipt_stream.errors import DeviceError, SettingsError, WeightsError
from lipt_stream.model import catalog
from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT, MAX_SIDE
from lipt_stream.model.weights import WeightsInfo, load_weights

Tile: TypeAlias = int | Literal["auto"]

BFLOAT16_BITS: Final = 8
"""Of a film's codes, at most, for which bfloat16 is fine enough. float16 has eleven."""
_TOO_FULL: Final = "End other programs that take its memory, use a smaller --model, or --device cpu"


class Upscaler:
    """LIPT on a device.

    Called with images `(N, 3, H, W)`, RGB:
    - a float tensor in 0..1 gives a float tensor `(N, 3, scale*H, scale*W)` of the same dtype, about 0..1, not clamped;
    - a uint8 tensor gives a rounded, clamped uint8 tensor.
    The result is on the device that the images came from. Any size from 1x1 up is taken; images too large for memory
    together go one by one, and one that is too large is cut into tiles; running out of memory means the same again in
    smaller parts.
    Raises TypeError or ValueError for other dtypes or shapes, DeviceError where even the smallest tile does not fit.
    """

    def __init__(
        self, network: LIPT, info: WeightsInfo, *, device: torch.device, runtime: Runtime, tile: Tile = "auto"
    ) -> None:
        self.info = info
        self.parameters = sum(tensor.numel() for tensor in network.parameters())
        self.config: LiptConfig = network.config
        self.device = device
        self._runtime = runtime
        self._max_pixels = self._tile_pixels(tile)
        self._max_side = MAX_SIDE if tile == "auto" else min(tile, MAX_SIDE)
        self._exact: Callable[[], Upscaler] | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: str | torch.device = "auto",
        precision: Precision = "auto",
        runtime: RuntimeName = "auto",
        threads: int | None = None,
        tile: Tile = "auto",
        scale: int = 2,
    ) -> Upscaler:
        """Load weights by name ("nano-x2", or "nano" for the given scale) or from a file.

        A file is one of our safetensors or a reference checkpoint in training or deployed form; `scale` is then the
        file's own, and `info.name` its path. `device`: "auto" (the GPU if torch sees one), "cpu", "cuda", "cuda:N".
        `threads`: for the network on a CPU. `tile`: the longest tile side in input pixels, "auto" for what memory
        allows. `precision`: see make_runtime, and `for_bit_depth`.
        """
        target = pick_device(str(device))
        file = find_weights(name_or_path, scale)
        network, info = load_weights(file)
        if file == Path(name_or_path):  # trained anew, it would be called as what ships
            info = dataclasses.replace(info, name=str(name_or_path))

        def computing_in(precision: Precision) -> Upscaler:
            with translated(f"loading {info.name} onto {target}", _TOO_FULL):
                run = make_runtime(network, device=target, precision=precision, runtime=runtime, threads=threads)
                return cls(network, info, device=target, runtime=run, tile=tile)

        upscaler = computing_in(precision)
        if precision == "auto" and upscaler.precision == "bfloat16":
            upscaler._exact = functools.cache(lambda: computing_in("float32"))
        return upscaler

    def for_bit_depth(self, bits: int) -> Upscaler:
        """What film of so many bits is upscaled by: this; or, where it was left to the program and bfloat16 was taken,
        whose eight significant bits would leave bands in film of more, the same in float32, made once."""
        return self._exact() if self._exact and bits > BFLOAT16_BITS else self

    @property
    def scale(self) -> int:
        return self.config.scale

    @property
    def precision(self) -> str:
        return self._runtime.precision

    @property
    def runtime(self) -> str:
        return self._runtime.name

    @property
    def at_once(self) -> int:
        """How many calls of `run` may go on at the same time, and together do more than one after the other."""
        return self._runtime.at_once

    def __call__(self, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
            raise TypeError(f"images must be a torch.Tensor, not {type(images).__name__}: see torch.as_tensor")
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise ValueError(f"images must be (N, 3, H, W), got {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"images must be uint8 or float, got {images.dtype}")
        with translated(f"upscaling by {self.info.name}", _TOO_FULL):
            moved = images.to(self.device)
            if images.dtype == torch.uint8:
                result = self.run(moved.float() / 255).mul(255).round().clamp(0, 255)
            else:
                result = self.run(moved.float())
            result = result.to(images.device, images.dtype).contiguous()
            # Tensors of inference mode can be neither changed in place nor used where gradients are recorded.
            return result.clone() if result.is_inference() else result

    def run(self, images: Tensor, at_once: int = 1) -> Tensor:
        """The bare network, tiled where needed: `(N, 3, H, W)` float in 0..1 on `device` -> float, about 0..1.

        With `at_once`, one of so many calls that go on at the same time (see `Upscaler.at_once`).
        """
        n, _, height, width = images.shape
        with torch.inference_mode():
            while True:
                limit = self._max_pixels
                if n > 1 and n * height * width > limit:
                    return torch.cat([self.run(images[index : index + 1], at_once) for index in range(n)])
                plan = self.plan(height, width)
                try:
                    return apply_tiled(lambda tile: self._runtime(tile, at_once), images, plan, self.scale)
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    self._shrink_tiles(min(limit, n * height * width), error)
                if self.device.type == "cuda":  # here, where the error no longer keeps the failed call's tensors
                    torch.cuda.empty_cache()

    def plan(self, height: int, width: int) -> TilePlan:
        """The tiles that an image of this size is cut into at present: one where it fits whole."""
        return plan_tiles(
            height,
            width,
            max_pixels=self._max_pixels,
            max_side=self._max_side,
            halo=self.config.receptive_field,
            align=self.config.window,
        )

    def _shrink_tiles(self, tried: int, error: BaseException) -> None:
        """Halve the tile after running out of memory with `tried` pixels; the same images are then tried again."""
        least = smallest_tile(self.config.receptive_field, self.config.window) ** 2
        if tried <= least:
            raise DeviceError(
                f"{self.device} has too little memory for {self.info.name}, even in tiles of {int(least**0.5)} pixels",
                "Use a smaller --model, or --device cpu",
            ) from error
        self._max_pixels = min(self._max_pixels, max(tried // 2, least))

    def _tile_pixels(self, tile: Tile) -> int:
        if tile == "auto":
            return max(fitting_pixels(self.config, self.device) // self.at_once, 1)
        if not isinstance(tile, int):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
            raise SettingsError(f"tile is {tile!r}", "Use auto or a side in pixels")
        least = smallest_tile(self.config.receptive_field, self.config.window)
        if tile < least:
            raise SettingsError(
                f"A tile of {tile} pixels is smaller than {self.info.name}'s receptive field allows",
                f"Use --tile {least} or more",
            )
        return tile * tile


def find_weights(name_or_path: str | Path, scale: int) -> Path:
    """The file that a model name or a path means. Raises SettingsError naming what is near, WeightsError for a path
    at which there is no file.

    A name of what ships means that, also where a file is called so; "./nano" is the file.
    """
    path = Path(name_or_path)
    is_path = bool(path.suffix) or path.name != str(name_or_path)
    try:
        is_file = path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise WeightsError(f"Cannot read weights from {path}: {error.strerror}", "Check the path") from error
    if is_file and (is_path or not catalog.is_known(str(name_or_path))):  # "nano" means what ships, in any folder
        return path
    if is_path:
        raise WeightsError(f"No weights file at {path}", "`lipt-stream models` lists the names that need no file")
    return catalog.path_of(catalog.find(str(name_or_path), scale))


def pick_device(device: str) -> torch.device:
    """The torch device that a user's word means."""
    with translated("looking for the GPU", _TOO_FULL):  # which begins to use it
        return _picked(device)


def _picked(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind != "cuda" or not (index == "" or index.isdecimal()):
        raise SettingsError(f"Unknown device {device!r}", "Use auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise DeviceError(
            "No NVIDIA GPU that torch can use", "Use --device cpu; `lipt-stream doctor` says what is missing"
        )
    number = int(index) if index else torch.cuda.current_device()
    if number >= torch.cuda.device_count():
        raise DeviceError(
            f"There is no GPU {number}: torch sees {torch.cuda.device_count()}", "Numbers begin at cuda:0"
        )
    return torch.device("cuda", number)
