"""How much better the mean over a network's eight views of a picture is than one: what `--distill-ensemble` teaches.

python benchmarks/eight_views.py IMAGES [--weights nano-x2 tiny-x2] [--out benchmarks/results/eight_views.json]

The eight flips and rotations of the middle of each image (160x160 LR pixels, by bicubic) go through the network and are
turned back. Y-PSNR in dB, the mean over images, each at most 45: as `train` validates.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from results_file import write_result

from lipt_stream.model.catalog import find, path_of
from lipt_stream.model.lipt import LIPT, deploy
from lipt_stream.model.weights import load_weights
from lipt_stream.train.evaluate import Uint8Image, as_rgb, find_images, psnr_y, read_image
from lipt_stream.train.materials import VALIDATION_SIDE
from lipt_stream.train.teacher import in_views
from lipt_stream.train.validation import CEILING, bicubic_middles, validate


def over_all(network: LIPT, low: Uint8Image) -> Uint8Image:
    image = torch.as_tensor(low).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        views = [in_views(network, image, torch.tensor([view])) for view in range(8)]
    mean = torch.stack(views).mean(0)[0].mul(255).round().clamp(0, 255)
    return mean.permute(1, 2, 0).numpy().astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--weights", nargs="+", default=["nano-x2", "tiny-x2"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    images = [as_rgb(read_image(path)) for path in find_images(arguments.images)]
    rows: list[dict[str, object]] = []
    for name in arguments.weights:
        network = deploy(load_weights(path_of(find(name, 2)))[0])
        scale = network.config.scale
        found = bicubic_middles(images, VALIDATION_SIDE, scale)
        pairs = [pair for pair in found if pair.low.shape[0] == pair.low.shape[1]]  # what is not square has no views
        scores = [min(psnr_y(over_all(network, pair.low), pair.high, max(scale, 2)), CEILING) for pair in pairs]
        alone = validate(network, pairs, torch.device("cpu"))
        eight = math.fsum(scores) / len(scores)
        rows.append({"weights": name, "images": len(pairs), "alone_db": round(alone, 3), "eight_db": round(eight, 3)})
        print(rows[-1], flush=True)
    write_result(arguments.out, results=rows)


if __name__ == "__main__":
    main()
