"""Is memory flat in the film's length? Peak RSS of a 200-frame and a 2,000-frame run, each in a process of its own.

python benchmarks/memory.py --out benchmarks/results/memory.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

from results_file import write_result

from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.synthetic import SyntheticSource

VIDEO = VideoFormat(width=320, height=180, frame_rate=Fraction(25), time_base=Fraction(1, 25))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    peaks: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in (200, 2000):
            film = Path(folder) / f"{frames}.mkv"
            make_film(film, frames)
            report = upscale(film, Path(folder) / f"{frames}_2x.mkv", arguments.model)
            assert report["frames_out"] == frames
            peaks[frames] = report["peak_rss_mb"]
            print(f"{frames} frames: peak {peaks[frames]:.0f} MB, {report['fps']:.1f} fps", flush=True)
    ratio = peaks[2000] / peaks[200]
    print(f"2,000 frames over 200 frames: {ratio:.3f}")
    write_result(arguments.out, model=arguments.model, film=str(VIDEO), peak_rss_mb=peaks, ratio=ratio)


def make_film(film: Path, frames: int) -> None:
    source = SyntheticSource(VIDEO, frames)
    sink = FileSink(film, VIDEO, encoder=choose_encoder("libx264"), copy_from=None)
    planes = VIDEO.new_planes()
    while (frame := source.read(planes)) is not END:
        sink.write(frame)
    sink.close()


def upscale(film: Path, result: Path, model: str) -> dict[str, float]:
    command = [sys.executable, "-m", "lipt_stream", "upscale", str(film), str(result), "--model", model, "--json", "-q"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
