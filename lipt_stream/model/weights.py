"""Files of weights: our safetensors, and checkpoints of the paper's implementation. No file's code is ever run.

Our format is one safetensors file: the tensors of a LIPT's state dict, and in its metadata `format` ("lipt-stream/1"),
`form` ("deployed" or "training"), `config` and `info` (JSON objects of LiptConfig's and WeightsInfo's fields).
"""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lipt_stream.errors import OutputError, WeightsError
from lipt_stream.model.config import LiptConfig, Scale
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.reference import from_reference, is_reference

Task: TypeAlias = Literal["sr", "deblock", "denoise"]
Content: TypeAlias = Literal["clean", "video"]
Origin: TypeAlias = Literal["lipt-stream", "reference"]

FORMAT: Final = "lipt-stream/1"
DAMAGED: Final = "It is damaged or incomplete: copy or download it again"
# What torch raises of a broken checkpoint, depending on the byte that broke.
BROKEN: Final = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)
BAD_METADATA: Final = (KeyError, TypeError, ValueError, OverflowError, RecursionError)
_TOLD_AS: Final = dict.fromkeys(("name", "licence", "training_data", "machine", "curve"), str) | {
    "steps": int,
    "minutes": (int, float),
}
KEPT_AS: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_NAMED: Final = 3  # tensors, in an error that is one line
NOT_WEIGHTS: Final = "Give one of lipt-stream's safetensors or a LIPT checkpoint (.pt)"


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """Where weights come from and what they are for. `scores` maps a data set's name to Y-PSNR in dB, `ssim` to SSIM.

    `content` is what they were trained to see: "clean" pictures shrunk by bicubic, or "video" as encoders leave it.
    `steps`, `minutes` and `machine` tell of the training run, and `curve` names a picture of it in the repository; ""
    and 0 where that is unknown.

    Of a reference checkpoint only the scale is known: its name is the file's, its licence and data are "unknown",
    and at x1, where the tensors do not tell artefact removal from denoising, its task is given as "denoise".
    """

    name: str
    task: Task
    scale: Scale
    licence: str
    training_data: str
    scores: Mapping[str, float]
    origin: Origin
    content: Content = "clean"
    ssim: Mapping[str, float] = field(default_factory=lambda: {})
    steps: int = 0
    minutes: float = 0.0
    machine: str = ""
    curve: str = ""


def load_weights(path: str | Path, *, window: int | None = None) -> tuple[LIPT, WeightsInfo]:
    """The network in a file, float32 on the CPU in evaluation mode, in the form found there; `deploy` makes it plain.

    The form of the file is told by its content, not by its name. A reference checkpoint's config is inferred from its
    tensors, save for the window, which leaves no trace there: 16 where no units are shared, as in the reference's
    base, else 8, unless `window` says otherwise. Our own files know their window, and `window` must agree.

    Raises:
        WeightsError: no such file, damaged, not weights, of another network, or with NaN or infinity in it.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():  # a named pipe would be waited for, for ever
            raise WeightsError(f"Cannot read weights from {path}: it is not a regular file", "Check the path")
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"Cannot read weights from {path}: {error.strerror}", "Check the path") from error
    if start[8:] == b"{":  # safetensors: eight bytes of length, then JSON
        return _load_ours(path, window)
    if start.startswith((b"PK", b"\x80")):  # a zip, or a bare pickle: what torch.save writes
        return _load_reference(path, window)
    raise WeightsError(f"{path} is not a file of weights", NOT_WEIGHTS if start else DAMAGED)


def save_weights(path: str | Path, model: LIPT, info: WeightsInfo) -> None:
    """Write a network in our format, in the form and dtype that it has. An existing file is replaced in one step.

    Raises:
        OutputError: the file cannot be written.
        ValueError: `info.scale` is not the network's.
    """
    if info.scale != model.config.scale:
        raise ValueError(f"info says x{info.scale}, the network is x{model.config.scale}")
    path = Path(path)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "form": "deployed" if model.deployed else "training",
        "config": json.dumps(dataclasses.asdict(model.config)),
        "info": json.dumps({field.name: getattr(info, field.name) for field in dataclasses.fields(info)}, default=dict),
    }
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave an empty file under the name of the one replaced
        part.replace(path)
    except OSError as error:
        with suppress(OSError):  # of a file system that became read-only this fails too
            part.unlink(missing_ok=True)
        raise OutputError(
            f"Cannot write weights to {path}: {error.strerror}", "Check the folder and its space"
        ) from error


def _load_ours(path: Path, window: int | None) -> tuple[LIPT, WeightsInfo]:
    try:
        content = path.read_bytes()  # its own reader takes no path that is not UTF-8
        state = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata: dict[str, str] = header.get("__metadata__") or {}
    except (SafetensorError, OSError, ValueError, KeyError, AssertionError) as error:
        # KeyError: its parser knows dtypes that torch has not; AssertionError: tensors without content
        raise WeightsError(f"{path} cannot be read as safetensors ({_first_line(error)})", DAMAGED) from error
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "no format")
        raise WeightsError(f"{path} is a safetensors file with {found} in its metadata, not {FORMAT}", NOT_WEIGHTS)
    try:
        config = _config(json.loads(metadata["config"]))
        info = _info(json.loads(metadata["info"]))
        if info.scale != config.scale:
            raise ValueError(f"info says x{info.scale}, the network is x{config.scale}")
        deployed = {"deployed": True, "training": False}[metadata["form"]]
    except BAD_METADATA as error:
        raise WeightsError(f"{path} has unusable metadata ({_first_line(error)})", DAMAGED) from error
    if window not in (None, config.window):
        raise WeightsError(f"{path} was trained with a window of {config.window}, not {window}", "Leave the window out")
    return _build(path, config, state, deployed=deployed), info


def _config(fields: dict[str, Any]) -> LiptConfig:
    config = LiptConfig(**fields)
    for part in dataclasses.fields(config):
        value = getattr(config, part.name)
        if type(value) is not (bool if isinstance(part.default, bool) else int):
            raise TypeError(f"{part.name} is {value!r}")
    return config


def _info(fields: dict[str, Any]) -> WeightsInfo:
    info = WeightsInfo(**fields)
    if (
        info.task not in ("sr", "deblock", "denoise")
        or info.origin not in ("lipt-stream", "reference")
        or info.content not in ("clean", "video")
    ):
        raise ValueError(f"task {info.task!r}, origin {info.origin!r}, content {info.content!r}")
    for name, kind in _TOLD_AS.items():
        if not isinstance(getattr(info, name), kind):
            raise TypeError(f"{name} is {getattr(info, name)!r:.40}")
    return dataclasses.replace(info, scores=_figures(info.scores), ssim=_figures(info.ssim))


def _figures(measured: Mapping[str, float]) -> dict[str, float]:
    return {str(name): float(value) for name, value in dict(measured).items()}


def _load_reference(path: Path, window: int | None) -> tuple[LIPT, WeightsInfo]:
    checkpoint = _unpickle_tensors(path)
    if {"spec", "format"} <= checkpoint.keys():
        raise WeightsError(f"{path} is where a training run stands", "Give the weights.safetensors beside it")
    inner = cast("object", checkpoint.get("model_state_dict", checkpoint))  # its trainer wraps it in {"epoch", ...}
    state = cast("dict[object, object]", inner) if isinstance(inner, dict) else {}
    named = {name: value for name, value in state.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if len(named) < len(state) or not is_reference(list(named)):
        held = ", ".join(str(name) for name in list(state)[:3]) or "nothing"
        raise WeightsError(f"{path} holds no LIPT network (it holds {held}, ...)", NOT_WEIGHTS)
    _refuse_odd(path, named)
    tensors = from_reference(named)
    config = _infer(path, tensors, window)
    model = _build(path, config, tensors, deployed=not any(".norm." in name for name in tensors))
    info = WeightsInfo(
        name=path.stem,
        task="denoise" if config.scale == 1 else "sr",
        scale=config.scale,
        licence="unknown",
        training_data="unknown",
        scores={},
        origin="reference",
    )
    return model, info


def _unpickle_tensors(path: Path) -> Mapping[Any, Any]:
    """torch.load of data alone: `weights_only` refuses every pickle that would run code."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():  # given a path, torch would go by its suffix
            warnings.simplefilter("ignore")  # of an odd pickle protocol, which only a damaged file has
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than tensors, and running code from it was refused", "Use weights you trust, as tensors"
        ) from error
    except BROKEN as error:
        raise WeightsError(f"{path} cannot be read as a checkpoint ({_first_line(error)})", DAMAGED) from error
    if not isinstance(loaded, Mapping):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, not a network's tensors", NOT_WEIGHTS)
    return cast("Mapping[Any, Any]", loaded)


def _infer(path: Path, state: Mapping[str, Tensor], window: int | None) -> LiptConfig:
    """The config that a reference checkpoint's tensors imply."""
    positions = {
        tuple(map(int, match.groups()))
        for name in state
        if (match := re.match(r"blocks\.(\d{1,6})\.units\.(\d{1,6})\.", name))
    }
    ends = ("head.weight", "tail.weight")
    missing = [name for name in ends if name not in state] + ([] if positions else ["blocks.*"])
    if missing:
        raise WeightsError(f"{path} lacks {', '.join(missing)}: no LIPT can be inferred from it", NOT_WEIGHTS)
    per_block = 1 + max(unit for _, unit in positions)
    blocks = 1 + max(block for block, _ in positions)
    scale = {3 * scale**2: scale for scale in (1, 2, 3, 4)}.get(len(state["tail.weight"]))
    try:
        return LiptConfig(
            scale=cast("Scale", scale),
            channels=len(state["head.weight"]),
            units=blocks * per_block,
            shared=per_block - 1,
            window=window or (16 if per_block == 1 else 8),
        )
    except ValueError as error:
        raise WeightsError(f"{path} is of no LIPT: {error}", NOT_WEIGHTS) from error


def _build(path: Path, config: LiptConfig, state: Mapping[str, Tensor], *, deployed: bool) -> LIPT:
    """The network of `config` with these tensors, or a WeightsError that names all that do not fit.

    None is made that is far larger than the file: each unit has six 3x3 convolutions, of which some may be missing.
    """
    _refuse_odd(path, state)
    held = sum(tensor.numel() for tensor in state.values())
    if config.units * 9 * config.channels**2 > held:
        raise WeightsError(f"{path} does not fit {config}: it holds {held:,} numbers, too few for that", NOT_WEIGHTS)
    model = LIPT(config, deployed=deployed)
    expected = model.state_dict()
    shapes = (
        f"{name} is {tuple(state[name].shape)} for {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    )
    complaints = {
        "missing": sorted(expected.keys() - state.keys()),
        "extra": sorted(state.keys() - expected.keys()),
        "wrong shape": sorted(shapes),
    }
    if any(complaints.values()):
        told = "; ".join(f"{what}: {_first_of(names)}" for what, names in complaints.items() if names)
        raise WeightsError(
            f"{path} does not fit {config} ({'deployed' if deployed else 'training'} form): {told}", NOT_WEIGHTS
        )
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise WeightsError(f"{path} has NaN or infinite numbers in {_first_of(broken)}", "Its training went wrong")
    model.load_state_dict(state)
    return model.eval()


def _refuse_odd(path: Path, state: Mapping[str, Tensor]) -> None:
    """WeightsError where tensors are quantized, complex, sparse, without content or without a shape, or say the same
    few numbers again and again: a file of two kilobytes could take all memory by it."""
    odd = [
        f"{name} is {tensor.dtype}, {tensor.layout}, on {tensor.device}, of {tensor.ndim} dimensions and "
        f"{tensor.numel():,} numbers"
        for name, tensor in state.items()
        if not name.endswith("num_batches_tracked")  # of batch norms: whole numbers, and not used here
        and (
            tensor.dtype not in KEPT_AS
            or tensor.layout is not torch.strided
            or tensor.device.type != "cpu"
            or tensor.ndim == 0
            or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        )
    ]
    if odd:
        raise WeightsError(
            f"{path} holds what is no plain tensor of decimal numbers: {'; '.join(odd[:_NAMED])}", NOT_WEIGHTS
        )


def _first_of(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
