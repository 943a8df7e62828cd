"""What becomes of a compressed film: shrunk by --scale, coded by x264 at several qualities, enlarged to its size.

At scale 1 nothing is shrunk: networks are to take away what the encoder left, and are given it "as coded".

Scored against the full-size original, by clip and by still picture (a film of one picture):

    PSNR, SSIM  on Y, as `lipt-stream eval` takes them; the mean over pictures (SSIM over every fourth,
                the first of which is a keyframe)
    flicker     mean |(out[t+1] - out[t]) - (original[t+1] - original[t])| on Y, in steps of 1/255: the change from
                picture to picture that the original does not have. 0 is steady; it counts errors of motion as well.

    python benchmarks/film_quality.py --weights nano-x2 nano-x2-video --clips ../shared/data/video/clips \\
        --images ../shared/data/valid --out benchmarks/results/film_quality.json --stills docs/stills

The stills compare the centre of the middle picture of every clip at crf 28. This was settled before any was made.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from results_file import write_result
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lipt_stream.cli.eval import as_function
from lipt_stream.engine.runtimes import Precision
from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.frame import BT709
from lipt_stream.media.coding import Coding
from lipt_stream.media.file_source import FileSource
from lipt_stream.train.clips import pictures_of
from lipt_stream.train.distort import coded
from lipt_stream.train.evaluate import Uint8Image, Upscale, as_rgb, find_images, luma, psnr_y, read_image, ssim_y
from lipt_stream.train.imresize import imresize
from lipt_stream.train.recipe import Generation

PRESET = "medium"
SSIM_EVERY = 4
STILL_CRF = 28
STILL_SIZE = (240, 320)  # height, width of the result


@dataclass(frozen=True, slots=True)
class Score:
    material: str  # "clips" or "images"
    name: str
    crf: int
    method: str
    psnr_y: float
    ssim_y: float
    flicker: float | None  # None of a still picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", nargs="+", default=["nano-x2"], help="names, or files")
    parser.add_argument("--scale", type=int, default=2, choices=(1, 2, 3, 4))
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--crf", type=int, nargs="+", default=[23, 28, 33])
    parser.add_argument("--frames", type=int, default=12, help="of every clip, from a third of its length on")
    parser.add_argument("--width", type=int, default=640, help="originals are first shrunk to no more pixels a line")
    parser.add_argument("--stills", type=Path, help="folder for comparison pictures")
    parser.add_argument("--precision", default="float32", help="the same on every machine, unlike auto")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    scale: int = arguments.scale
    methods = load_methods(arguments.weights, scale, arguments.precision)
    scores: list[Score] = []
    for material, name, originals in track(list(found(arguments)), description="measuring"):
        pictures = [prepared(picture, arguments.width, scale) for picture in originals(arguments.frames)]
        for crf in arguments.crf:
            small = recorded(pictures, crf, scale)
            results = {method: [enlarge(picture) for picture in small] for method, enlarge in methods.items()}
            for method, shown in results.items():
                scores.append(score(material, name, crf, method, shown, pictures, cut=scale))
            if arguments.stills and material == "clips" and crf == STILL_CRF:
                save_still(arguments.stills / f"{Path(name).stem}.webp", results, pictures)
    title = f"Enlarged x{scale}" if scale > 1 else "Restored"
    Console().print(table(f"{title} after libx264 {PRESET}", scores))
    settings = {"scale": scale, "encoder": f"libx264 {PRESET}", "frames": arguments.frames, "width": arguments.width}
    settings["precision"] = arguments.precision
    write_result(arguments.out, **settings, means=means(scores), scores=[asdict(score) for score in scores])


def load_methods(weights: list[str], scale: int, precision: Precision) -> dict[str, Upscale]:
    """What needs no network, and each network by its name; files of one network's name are told apart by their own."""
    methods: dict[str, Upscale] = {
        "bicubic": lambda image: imresize(image, scale),
        "lanczos": lambda image: imresize(image, scale, "lanczos3"),
    }
    if scale == 1:
        methods = {"as coded": lambda image: image}
    for name in weights:
        upscaler = Upscaler.load(name, scale=scale, precision=precision)
        if upscaler.scale != scale:
            raise SystemExit(f"{name} enlarges x{upscaler.scale}, not x{scale}")
        label = Path(name).stem if Path(name).is_file() else upscaler.info.name
        if label in methods:  # runs/a/weights.safetensors and runs/b/weights.safetensors
            label = f"{Path(name).parent.name}/{label}"
        methods[label] = as_function(upscaler)
    return methods


def found(arguments: argparse.Namespace) -> Iterator[tuple[str, str, Callable[[int], list[Uint8Image]]]]:
    """What is measured: its kind, its name, and how its originals are read (given how many)."""
    if arguments.clips:
        for path in sorted(path for path in arguments.clips.iterdir() if path.is_file()):
            yield "clips", path.name, lambda count, path=path: clip(path, count)
    if arguments.images:
        for path in find_images(arguments.images):
            yield "images", path.name, lambda count, path=path: [still(path)][:count]


def clip(path: Path, count: int) -> list[Uint8Image]:
    """`count` consecutive pictures from a third of the film's length on, or the last ones of a film too short."""
    source = FileSource(path, threads=1)
    try:
        total = source.frame_count_estimate or count
        first = max(min(total // 3, total - count), 0)
        return list(islice(pictures_of(source), first, first + count))
    finally:
        source.close()


def still(path: Path) -> Uint8Image:
    return as_rgb(read_image(path))


def prepared(picture: Uint8Image, width: int, scale: int) -> Uint8Image:
    """No wider than `width`, which also takes away most of what the clip's own coding did to it; even when shrunk."""
    if picture.shape[1] > width:
        picture = imresize(picture, Fraction(width, picture.shape[1]))
    rows, columns = (side - side % (2 * scale) for side in picture.shape[:2])
    return picture[:rows, :columns]


def recorded(pictures: list[Uint8Image], crf: int, scale: int) -> list[Uint8Image]:
    coding = Coding("libx264", (("crf", str(crf)), ("preset", PRESET)))
    small = [imresize(picture, Fraction(1, scale)) for picture in pictures] if scale > 1 else pictures
    return coded(small, Generation(coding, 1.0, BT709, "left"))


def score(
    material: str, name: str, crf: int, method: str, results: list[Uint8Image], originals: list[Uint8Image], cut: int
) -> Score:
    pairs = list(zip(results, originals, strict=True))
    error = (luma(result) - luma(original) for result, original in pairs)
    changes = [float(np.abs(after - before).mean()) for before, after in pairwise(error)]
    return Score(
        material,
        name,
        crf,
        method,
        psnr_y=statistics.fmean(psnr_y(result, original, cut) for result, original in pairs),
        ssim_y=statistics.fmean(ssim_y(result, original, cut) for result, original in pairs[::SSIM_EVERY]),
        flicker=statistics.fmean(changes) if changes else None,
    )


def means(scores: list[Score]) -> list[dict[str, object]]:
    """Over the clips and over the images, of each method at each quality; how many of them it is the best at."""
    groups: dict[tuple[str, int, str], list[Score]] = {}
    for one in scores:
        groups.setdefault((one.material, one.crf, one.method), []).append(one)
    best: dict[tuple[str, str, int], Score] = {}
    for one in scores:
        place = (one.material, one.name, one.crf)
        best[place] = max(best.get(place, one), one, key=lambda candidate: candidate.psnr_y)
    rows: list[dict[str, object]] = []
    for (material, crf, method), members in groups.items():
        flicker = [one.flicker for one in members if one.flicker is not None]
        rows.append(
            {
                "material": material,
                "crf": crf,
                "method": method,
                "count": len(members),
                "psnr_y": statistics.fmean(one.psnr_y for one in members),
                "ssim_y": statistics.fmean(one.ssim_y for one in members),
                "flicker": statistics.fmean(flicker) if flicker else None,
                "best_psnr_of": sum(best[material, one.name, crf] is one for one in members),
            }
        )
    return rows


def table(title: str, scores: list[Score]) -> Table:
    shown = Table(title=title)
    for heading in ("material", "crf", "method"):
        shown.add_column(heading)
    for heading in ("PSNR dB", "SSIM", "flicker", "best PSNR of"):
        shown.add_column(heading, justify="right")
    last = None
    for row in means(scores):
        if last not in (None, (row["material"], row["crf"])):
            shown.add_section()
        last = row["material"], row["crf"]
        flicker = "" if row["flicker"] is None else f"{row['flicker']:.3f}"
        numbers = f"{row['psnr_y']:.2f}", f"{row['ssim_y']:.4f}", flicker, f"{row['best_psnr_of']} / {row['count']}"
        shown.add_row(str(row["material"]), str(row["crf"]), str(row["method"]), *numbers)
    return shown


def save_still(path: Path, results: Mapping[str, list[Uint8Image]], originals: list[Uint8Image]) -> None:
    """The centre of the middle picture, by every method and in the original, side by side."""
    columns = {**results, "original": originals}
    crops = {name: centre(shown[len(shown) // 2]) for name, shown in columns.items()}
    height, width = next(iter(crops.values())).shape[:2]
    sheet = Image.new("RGB", (len(crops) * (width + 4) - 4, height + 16), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (name, crop) in enumerate(crops.items()):
        pen.text((place * (width + 4) + 2, 2), name, fill="black")
        sheet.paste(Image.fromarray(crop), (place * (width + 4), 16))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, lossless=True, method=6)


def centre(picture: Uint8Image) -> Uint8Image:
    height, width = (min(side, have) for side, have in zip(STILL_SIZE, picture.shape[:2], strict=True))
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


if __name__ == "__main__":
    main()
