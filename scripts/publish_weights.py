"""Put the weights of a training run among those that ship: measured, described, and entered in weights/index.toml.

    python scripts/publish_weights.py runs/tiny-x4 tiny-x4 --bench ../shared/data/bench \\
        --data "508 freely licensed images, bicubic" --machine "2 cores of an Intel Xeon VM"

RUN is a folder that `lipt-stream train` wrote, or one file of weights. Every folder of images within --bench is a data
set. At scale 1, where there is no low resolution, its images are spoilt as the task says: SET_crf28 are coded by x264
(medium) as films of one picture, SET_sigma25 have white noise. The curves beside the weights go along.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import statistics
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from lipt_stream.cli.eval import as_function
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.errors import LiptError
from lipt_stream.frame import BT709
from lipt_stream.media.coding import Coding
from lipt_stream.model import catalog
from lipt_stream.model.config import NAMES, LiptConfig
from lipt_stream.model.lipt import deploy
from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights
from lipt_stream.train import distort
from lipt_stream.train.evaluate import (
    ImageScore,
    Scores,
    Uint8Image,
    Upscale,
    as_rgb,
    evaluate,
    find_images,
    psnr_y,
    read_image,
    ssim_y,
)
from lipt_stream.train.recipe import Generation, Noise

ROOT = catalog.CHECKOUT.parent
INDEX = catalog.CHECKOUT / "index.toml"
HEADER = """\
# The weights that come with the package: one table a file, written by scripts/publish_weights.py. Trained by this
# project on freely licensed images, never on a test image. Each file says the same of itself in its metadata, with
# its config; all are in the deployed form: every RepConv is one 3x3 convolution. small's are in float16, for their
# size. `psnr` (Y-PSNR in dB) and `ssim` are by the field's protocol (MATLAB's bicubic LR, borders of `scale` pixels
# cut), float32; at x1 of pictures that were coded by x264 (_crf28) or have white noise (_sigma25), borders uncut.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--data", required=True, help="what they were trained on")
    parser.add_argument("--machine", required=True, help="what they were trained by")
    parser.add_argument("--steps", type=int, help="of all runs; default: what the file says, which is of the last")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--half", action="store_true", help="keep them in float16, which takes half of the bytes")
    arguments = parser.parse_args()
    file = arguments.run / "weights.safetensors" if arguments.run.is_dir() else arguments.run
    network, info = load_weights(file)
    model = model_name(network.config)
    content = "-video" if info.content == "video" else ""
    right = f"{model}-x{info.scale}" + (content if info.task == "sr" else f"-{info.task}")
    if arguments.name != right:
        parser.error(f"{file} is called {right} by what it is, not {arguments.name}")
    network = deploy(network).half() if arguments.half else deploy(network)
    with TemporaryDirectory() as folder:
        kept = Path(folder) / file.name
        save_weights(kept, network, info)
        scores = measure(kept, arguments.bench, info)
    curve = keep_curves(file.parent, arguments.name) or info.curve
    info = dataclasses.replace(
        info,
        name=arguments.name,
        training_data=arguments.data,
        machine=arguments.machine,
        curve=curve,
        steps=arguments.steps or info.steps,
        minutes=arguments.minutes or info.minutes,
        scores={name: round(score.psnr_y, 2) for name, score in scores.items()},
        ssim={name: round(score.ssim_y, 4) for name, score in scores.items()},
    )
    target = catalog.CHECKOUT / f"{arguments.name}.safetensors"
    save_weights(target, network, info)
    entry = {
        "name": info.name,
        "model": model,
        "file": target.name,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "task": info.task,
        "scale": info.scale,
        "content": info.content,
        "licence": info.licence,
        "data": info.training_data,
        "steps": info.steps,
        "minutes": float(info.minutes),
        "machine": info.machine,
        "curve": info.curve,
        "psnr": info.scores,
        "ssim": info.ssim,
    }
    others = [dataclasses.asdict(other) for other in catalog.entries() if other.name != info.name]
    index = HEADER + "".join(table(known) for known in sorted([*others, entry], key=order))
    tomllib.loads(index)  # every command reads it: better none than a broken one
    part = INDEX.with_suffix(".toml.part")
    part.write_text(index, encoding="utf-8")
    part.replace(INDEX)
    print(table(entry))


def measure(file: Path, bench: Path, info: WeightsInfo) -> dict[str, Scores]:
    upscale = as_function(Upscaler.load(file, device="cpu", precision="float32", runtime="torch"))
    sets = sorted((path for path in bench.iterdir() if path.is_dir()), key=lambda path: (len(path.name), path.name))
    if info.task == "sr":
        return {folder.name: evaluate(upscale, folder, info.scale) for folder in sets}
    spoil, name = (coded, "crf28") if info.task == "deblock" else (noisy, "sigma25")
    return {f"{folder.name}_{name}": restored(upscale, folder, spoil) for folder in sets}


def restored(upscale: Upscale, folder: Path, spoil: Callable[[Uint8Image], Uint8Image]) -> Scores:
    """Of a network of scale 1 that is given what `spoil` makes of a folder's images."""
    images: list[ImageScore] = []
    for path in find_images(folder):
        original = as_rgb(read_image(path))
        original = original[: original.shape[0] // 2 * 2, : original.shape[1] // 2 * 2]  # 4:2:0 has even sides
        result = upscale(spoil(original))
        images.append(ImageScore(path.name, psnr_y(result, original, 0), ssim_y(result, original, 0)))
    mean = {name: statistics.fmean(getattr(image, name) for image in images) for name in ("psnr_y", "ssim_y")}
    return Scores(**mean, images=tuple(images))


def coded(image: Uint8Image) -> Uint8Image:
    coding = Coding("libx264", (("crf", "28"), ("preset", "medium")))
    return distort.coded([image], Generation(coding, 1.0, BT709, "left"))[0]


def noisy(image: Uint8Image) -> Uint8Image:
    return distort.noisy(image, Noise("gaussian", 25.0, is_gray=False), np.random.default_rng(25))


def keep_curves(run: Path, name: str) -> str:
    """Where the picture of a run's folder is kept, within the repository; "" where there is none."""
    drawn = run / "curves.png"
    if not drawn.is_file():
        return ""
    kept = ROOT / "docs" / "curves" / f"{name}.png"
    shutil.copyfile(drawn, kept)
    return str(kept.relative_to(ROOT))


def model_name(config: LiptConfig) -> str:
    plain = dataclasses.replace(config, scattered=False, sampled_values=False)
    return next(name for name in NAMES if LiptConfig.named(name, config.scale) == plain)


def order(entry: dict[str, Any]) -> tuple[Any, ...]:
    return NAMES.index(entry["model"]), entry["scale"], entry["content"], entry["task"]


def table(entry: dict[str, Any]) -> str:
    """The entry as TOML: strings, numbers, and tables of numbers by name."""
    lines = (f"{key} = {inline(value)}" for key, value in entry.items())
    return "\n[[weights]]\n" + "\n".join(lines) + "\n"


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{name_in_toml(key)} = {number}" for key, number in value.items()) + " }"
            if value
            else "{}"
        )
    return json.dumps(value, ensure_ascii=False)  # TOML knows no surrogates


def name_in_toml(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


if __name__ == "__main__":
    try:
        main()
    except LiptError as error:
        sys.exit(f"error: {error}")
