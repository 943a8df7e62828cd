"""What do seams between tiles cost? PSNR of tiled against whole results, and what tiling changes of the PSNR against
the original, over a folder of images.

    python benchmarks/seams.py --data ../shared/data/valid --out benchmarks/results/seams.json
"""

from __future__ import annotations

import argparse
import math
import statistics
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from results_file import write_result

from lipt_stream.engine.tiling import smallest_tile
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.train.evaluate import find_images, psnr_y, read_image
from lipt_stream.train.imresize import imresize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["nano", "tiny"])
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = [measure(name, find_images(arguments.data)[: arguments.images]) for name in arguments.models]
    for result in results:
        print(
            f"{result['model']}: tiles of {result['tile']} pixels; tiled against whole {result['agreement_db']:.1f} dB "
            f"(inside the frame {result['inner_agreement_db']:.1f}); against the original {result['cost_db']:+.4f} dB"
        )
    write_result(arguments.out, data=arguments.data.name, results=results)


def measure(name: str, images: list[Path]) -> dict[str, float | int | str]:
    """Float32 by torch, so that nothing but the tiles differs."""
    whole = Upscaler.load(name, device="cpu", runtime="torch", precision="float32")
    config = whole.config
    tile = smallest_tile(config.receptive_field, config.window) + 4 * config.window
    tiled = Upscaler.load(name, device="cpu", runtime="torch", precision="float32", tile=tile)
    edge = sum(config.receptive_field) * config.scale
    agreement, inner, cost = [], [], []
    for path in images:
        original = read_image(path)
        original = original[: original.shape[0] // 2 * 2, : original.shape[1] // 2 * 2]
        small = torch.from_numpy(imresize(original, Fraction(1, 2)).transpose(2, 0, 1).copy())[None].float() / 255
        a, b = whole(small), tiled(small)
        agreement.append(psnr(a, b))
        inner.append(psnr(a[..., edge:-edge, edge:-edge], b[..., edge:-edge, edge:-edge]))
        cost.append(psnr_y(as_image(b), original, 2) - psnr_y(as_image(a), original, 2))
    return {
        "model": whole.info.name,
        "tile": tile,
        "images": len(images),
        "agreement_db": statistics.mean(agreement),
        "inner_agreement_db": statistics.mean(inner),
        "cost_db": statistics.mean(cost),
        "worst_cost_db": min(cost),
    }


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of float results in 0..1; 200 dB where they are equal."""
    error = float((a.double() - b.double()).square().mean())
    return 10 * math.log10(1 / error) if error > 1e-20 else 200.0


def as_image(result: torch.Tensor) -> np.ndarray:
    return result[0].mul(255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


if __name__ == "__main__":
    main()
