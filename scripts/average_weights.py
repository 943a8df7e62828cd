"""The weights between two runs, of which the second began with what the first ended with.

    python scripts/average_weights.py runs/tiny-x2/weights.safetensors weights/tiny-x2.safetensors 0.4 \\
        --out runs/tiny-x2/averaged.safetensors

A + SHARE (B - A), tensor by tensor, with all that A says of itself but its scores. Two ends of one valley are often
both further from its middle than what lies between them (Izmailov et al., Averaging Weights Leads to Wider Optima,
2018). Which share is good, `lipt-stream eval` says on the validation images, and not on a test set.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

from lipt_stream.errors import LiptError
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import load_weights, save_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("share", type=float, help="of B, from 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    network, info = load_weights(arguments.a)
    other, _ = load_weights(arguments.b)
    if network.config != other.config:
        parser.error(f"{arguments.a} and {arguments.b} are different networks: {network.config}, {other.config}")
    if not 0 <= arguments.share <= 1:
        parser.error(f"{arguments.share} is no share: give 0 to 1")
    save_weights(arguments.out, averaged(network, other, arguments.share), replace(info, scores={}, ssim={}))


def averaged(network: LIPT, other: LIPT, share: float) -> LIPT:
    """In the deployed form: branches that are averaged do not merge to the average of what they merge to."""
    result, towards = deploy(network), deploy(other)
    with torch.no_grad():
        for mine, theirs in zip(result.parameters(), towards.parameters(), strict=True):
            mine.lerp_(theirs, share)
    return result


if __name__ == "__main__":
    try:
        main()
    except LiptError as error:
        sys.exit(f"error: {error}")
