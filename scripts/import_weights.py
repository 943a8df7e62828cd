"""Bring deployed weights in the training prototype's names (`body.B.units.U.0.a`, ...) into this package's format.

    python scripts/import_weights.py nano_x2.safetensors weights/nano-x2.safetensors --data "..." --score Set5=37.04

Prints the file's entry for weights/index.toml.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path

from safetensors import safe_open

from lipt_stream.model.config import LiptConfig
from lipt_stream.model.lipt import LIPT
from lipt_stream.model.weights import WeightsInfo, load_weights, save_weights

STEPS = {"0": "hrm_a", "1": "hrm_c", "2": "attention", "3": "hrm_b"}
PARTS = {"a": "conv0", "b": "conv1", "inp": "project_in", "out": "project_out"}
NAME = re.compile(r"body\.(\d+)\.units\.(\d+)\.(\d)\.(a|b|inp|out)\.(weight|bias)")


def renamed(name: str) -> str:
    if not (match := NAME.fullmatch(name)):
        return name
    block, unit, step, part, kind = match.groups()
    return f"blocks.{block}.units.{unit}.{STEPS[step]}.{PARTS[part]}.{kind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data", required=True, help="what the weights were trained on")
    parser.add_argument("--licence", default="Apache-2.0")
    parser.add_argument("--score", action="append", default=[], help="DATASET=dB, once per data set")
    args = parser.parse_args()

    with safe_open(args.source, framework="pt") as file:
        fields = {key: int(file.metadata()[key]) for key in ("scale", "channels", "units", "shared", "window")}
        state = {renamed(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model = LIPT(LiptConfig(**fields), deployed=True)
    model.load_state_dict(state)

    name, scale = args.target.stem, fields["scale"]
    scores = {dataset: float(decibels) for dataset, decibels in (score.split("=") for score in args.score)}
    info = WeightsInfo(
        name=name,
        task="sr",
        scale=scale,
        licence=args.licence,
        training_data=args.data,
        scores=scores,
        origin="lipt-stream",
    )
    save_weights(args.target, model, info)
    load_weights(args.target)

    print("[[weights]]")
    print(f'name = "{name}"\nmodel = "{name.removesuffix(f"-x{scale}")}"\nfile = "{args.target.name}"')
    print(f'sha256 = "{hashlib.sha256(args.target.read_bytes()).hexdigest()}"\ntask = "sr"\nscale = {scale}')
    print("psnr = { " + ", ".join(f"{dataset} = {value}" for dataset, value in scores.items()) + " }\n")


if __name__ == "__main__":
    main()
