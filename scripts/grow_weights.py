"""A larger network that begins as a smaller one, as `lipt-stream train --init` begins it, without a step of training.

    python scripts/grow_weights.py weights/tiny-x4.safetensors small --out runs/small-x4/weights.safetensors

Of half the width it is held twice, once mirrored, which is better than once (train/growth.py): so it is worth to be
measured and kept. All that the smaller one says of itself but its name and scores is said of the larger one too.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from lipt_stream.errors import LiptError
from lipt_stream.model.config import NAMES, LiptConfig
from lipt_stream.model.lipt import deploy
from lipt_stream.model.weights import load_weights, save_weights
from lipt_stream.train.start import start_from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("model", choices=NAMES, help="the larger network")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    body, info = load_weights(arguments.weights)
    torch.manual_seed(0)  # what is silent in it begins at random
    network = start_from(deploy(body), LiptConfig.named(arguments.model, info.scale)).eval()
    save_weights(arguments.out, network, replace(info, name=f"{arguments.model} of {info.name}", scores={}, ssim={}))


if __name__ == "__main__":
    try:
        main()
    except LiptError as error:
        sys.exit(f"error: {error}")
