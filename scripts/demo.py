"""`make demo`: upscale the bundled clip x2, say what was done, and lay source and result side by side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from rich.console import Console

from lipt_stream.cli.progress import display, print_summary
from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.frame import END
from lipt_stream.media.file_source import FileSource
from lipt_stream.stream.upscale import upscale_file

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "tests" / "data" / "clips" / "flower.mp4"
OUT = ROOT / "out"
PICTURE_SECONDS = 1.5  # which moment is shown


def main() -> None:
    OUT.mkdir(exist_ok=True)
    result = OUT / "flower_2x.mp4"
    console = Console()
    with display(CLIP.name, console, quiet=False) as show:
        report = upscale_file(CLIP, result, overwrite=True, progress=show)
    print_summary(report, console)
    picture = OUT / "flower_side_by_side.png"
    side_by_side(CLIP, result, picture)
    console.print(f"side by side (source by Lanczos | LIPT): {picture}", soft_wrap=True, highlight=False)


def side_by_side(source: Path, result: Path, picture: Path) -> None:
    """A PNG of one moment: the source enlarged by Lanczos on the left, the result on the right."""
    small, large = picture_at(source, PICTURE_SECONDS), picture_at(result, PICTURE_SECONDS)
    both = Image.new("RGB", (2 * large.width, large.height))
    both.paste(small.resize(large.size, Image.Resampling.LANCZOS), (0, 0))
    both.paste(large, (large.width, 0))
    both.save(picture)


def picture_at(film: Path, seconds: float) -> Image.Image:
    """The picture shown at `seconds`, as RGB."""
    source = FileSource(film, start_seconds=seconds)
    try:
        planes = source.format.new_planes()
        if source.read(planes) is END:
            raise SystemExit(f"{film} is shorter than {seconds} s")
        return Image.fromarray(RgbPictures(source.format)(planes))
    finally:
        source.close()


if __name__ == "__main__":
    main()
