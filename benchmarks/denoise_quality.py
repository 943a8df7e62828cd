"""What becomes of noise: white gaussian noise of several strengths on still pictures, taken away by networks of x1.

    python benchmarks/denoise_quality.py --weights nano-x1-denoise --images ../shared/data/bench/Set14 \\
        ../shared/data/valid --out benchmarks/results/denoise_quality.json

The protocol of colour denoising: the same sigma, in steps of 8-bit samples, in R, G and B alike, drawn anew for each
picture from a fixed seed; the noisy picture is rounded to 8 bits; PSNR is over all three channels, SSIM on Y. The mean
over a folder's pictures. The networks are not told how strong the noise is.
"""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path

import numpy as np
from film_quality import load_methods, still
from PIL import Image, ImageFilter
from results_file import write_result
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lipt_stream.train.evaluate import Uint8Image, find_images, ssim_y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", default=["nano-x1-denoise"], help="names, or files")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="folders")
    parser.add_argument("--sigma", type=int, nargs="+", default=[15, 25, 50])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    given_as = {"as coded": "noisy"}
    methods = {given_as.get(name, name): restore for name, restore in load_methods(arguments.weights, scale=1).items()}
    methods["median of 3x3"] = lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.MedianFilter(3)))
    rows: list[dict[str, object]] = []
    for folder in arguments.images:
        originals = [still(path) for path in find_images(folder)]
        for sigma in arguments.sigma:
            rng = np.random.default_rng(sigma)
            given = [noisy(picture, sigma, rng) for picture in originals]
            for method, restore in track(methods.items(), description=f"{folder.name}, sigma {sigma}"):
                results = [restore(picture) for picture in given]
                pairs = list(zip(results, originals, strict=True))
                scores = {
                    "psnr_rgb": statistics.fmean(psnr_rgb(result, original) for result, original in pairs),
                    "ssim_y": statistics.fmean(ssim_y(result, original, 0) for result, original in pairs),
                }
                rows.append({"images": folder.name, "sigma": sigma, "method": method, **scores})
    Console().print(table(rows))
    write_result(arguments.out, rows=rows)


def noisy(picture: Uint8Image, sigma: float, rng: np.random.Generator) -> Uint8Image:
    return (picture + rng.normal(0, sigma, picture.shape)).round().clip(0, 255).astype(np.uint8)


def psnr_rgb(result: Uint8Image, original: Uint8Image) -> float:
    error = float(np.mean((result.astype(np.float64) - original) ** 2))
    return 10 * math.log10(255.0**2 / error) if error > 0 else math.inf


def table(rows: list[dict[str, object]]) -> Table:
    shown = Table(title="White noise, before and after")
    for heading in ("images", "sigma", "method", "PSNR dB", "SSIM"):
        shown.add_column(heading, justify="right" if heading in ("PSNR dB", "SSIM") else "left")
    for row in rows:
        numbers = f"{row['psnr_rgb']:.2f}", f"{row['ssim_y']:.4f}"
        shown.add_row(str(row["images"]), str(row["sigma"]), str(row["method"]), *numbers)
    return shown


if __name__ == "__main__":
    main()
