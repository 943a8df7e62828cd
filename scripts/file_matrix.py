"""Every film of a collection through the command line, and what became of each: docs/files.md.

python scripts/file_matrix.py FOLDER... [--pixels 25000000] [--only NAME]

Of each film: what went in, what came out, the notes, or the words of the refusal. It is checked that nothing hangs,
that no traceback is shown, that the result decodes, and that it holds exactly as many pictures as a plain PyAV loop
reads from the source, up to the same end. Long films are cut (`--end`), damaged ones never: damage may be at the end.
Exit code 1 where a check fails.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av

from lipt_stream.media.containers import writable_suffix
from lipt_stream.observe.process import describe_machine

TARGET = Path(__file__).resolve().parent.parent / "docs" / "files.md"
LIMIT_SECONDS = 600
DAMAGED = re.compile(r"corrupt|truncated|fuzz|invalid|failing|zero_size|out_of_range|encrypted")
INTRODUCTION = """# What becomes of which file

Made by `scripts/file_matrix.py` on {today} with lipt-stream {lipt}, PyAV {av} (FFmpeg {ffmpeg}), network nano at x2,
on {cores} cores ({cpu}). {count} files: {upscaled} upscaled, {refused} refused; {failed} checks failed. The slowest
took {slowest:.0f} seconds.

Each file went through `lipt-stream upscale` in a process of its own. "Plain" is what a loop over PyAV's demuxer and
decoder reads, going on behind errors, up to the same end; "out" is what the same loop reads from the result. They must
be equal. "to N s" means that the film was cut there with `--end`, because it is long. Where no container is written
under the source's own suffix, the result is `.mkv`, or `.mov` for its kin (`.3gp`).
"""


@dataclass
class Row:
    """One film's journey. `failures` is empty where every check held."""

    name: str
    source: str = "cannot be opened"
    end_seconds: float | None = None
    plain: int = 0
    result: str = ""
    out: int = 0
    words: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument(
        "--pixels", type=int, default=25_000_000, help="of all frames together; longer films are cut to about that many"
    )
    parser.add_argument("--only", help="films whose name contains this; prints and writes nothing")
    arguments = parser.parse_args()
    films = sorted(path for folder in arguments.folders for path in folder.iterdir() if path.is_file())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for film in films:
            if arguments.only is None or arguments.only in film.name:
                rows.append(journey(film, Path(folder), arguments.pixels))
                print(json.dumps(vars(rows[-1])), flush=True)
    if arguments.only is None:
        TARGET.write_text("\n".join(document(rows)) + "\n", encoding="utf-8")
    raise SystemExit(1 if any(row.failures for row in rows) else 0)


def journey(film: Path, folder: Path, pixels: int) -> Row:
    row = Row(film.name)
    describe_source(film, row, pixels)
    result = folder / f"{film.stem}{writable_suffix(film)}"
    command = [sys.executable, "-m", "lipt_stream", "upscale", str(film), str(result), "--json", "--quiet"]
    command += ["--model", "nano", "--device", "cpu"]
    if result.suffix != ".webm":
        command += ["--preset", "fast"]  # whose encoder is libx264
    if row.end_seconds is not None:
        command += ["--end", str(row.end_seconds)]
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        row.failures.append(f"it hangs: not done after {LIMIT_SECONDS} s")
        return row
    row.seconds = round(time.monotonic() - began, 1)
    if "Traceback" in done.stderr or "defect" in done.stderr:
        row.failures.append(done.stderr[-1500:])
    if done.returncode == 0:
        examine(row, json.loads(done.stdout), result)
    else:
        row.words = [done.stderr.strip().replace(str(film), film.name).replace(str(result), result.name)]
        if row.plain and "cannot hold" not in row.words[0]:
            row.failures.append(f"refused, though a plain loop reads {row.plain} pictures")
        if len(row.words[0].splitlines()) != 1 or list(folder.iterdir()):
            row.failures.append("not one line, or something is left behind")
    for path in folder.iterdir():
        path.unlink()
    return row


def describe_source(film: Path, row: Row, pixels: int) -> None:
    """Fills in what the film is, where it is cut, and how many pictures a plain loop reads up to there."""
    try:
        with av.open(f"file:{film}", metadata_errors="surrogateescape") as container:
            row.source = f"{container.format.name.split(',')[0]}, {streams(container)}"
            row.end_seconds = cut_at(container, film, pixels)
        row.plain = count_pictures(film, row.end_seconds)
    except (av.FFmpegError, UnicodeDecodeError, MemoryError, StopIteration):
        return


def examine(row: Row, report: dict[str, Any], result: Path) -> None:
    with av.open(str(result)) as container:
        row.result = f"{result.suffix} {streams(container)}"
    row.out = count_pictures(result, None)
    row.words = list(report["notes"])
    if not row.out == row.plain == report["frames_out"] == report["frames_in"]:
        row.failures.append(
            f"{row.plain} pictures by a plain loop, {row.out} in the result, {report['frames_out']} told"
        )


def streams(container: Any) -> str:
    """ "h264 320x180 yuv420p 25 fps + aac": the main picture, then all else."""
    main = main_picture(container)
    others = [stream for stream in container.streams if stream != main]
    picture = "no picture"
    if main is not None:
        rate = f" {float(main.average_rate):.5g} fps" if main.average_rate else ""
        picture = f"{codec(main)} {main.width}x{main.height} {main.pix_fmt or '?'}{rate}"
    return " + ".join([picture, *(f"{codec(stream)}" for stream in others)])


def codec(stream: Any) -> str:
    return stream.codec_context.codec.canonical_name if stream.codec_context else f"{stream.type} of unknown codec"


def main_picture(container: Any) -> Any:
    covers = av.stream.Disposition.attached_pic
    return next((stream for stream in container.streams.video if not stream.disposition & covers), None)


def cut_at(container: Any, film: Path, pixels: int) -> float | None:
    """None for a film of up to `pixels` in all its frames together, for one whose damage may be at its end, and for one
    without a length: its pictures may have no times either, by which the plain loop could be cut."""
    stream = main_picture(container)
    if stream is None or not stream.average_rate or not container.duration or DAMAGED.search(film.name):
        return None
    seconds = pixels / max(1, stream.width * stream.height) / min(60.0, float(stream.average_rate))
    return round(max(seconds, 0.1), 2) if seconds < container.duration / av.time_base else None


def count_pictures(film: Path, end_seconds: float | None) -> int:
    """Demux and decode packet by packet, going on behind errors; pictures before `end_seconds`, counted from the start
    of the picture's stream."""
    count = 0
    with av.open(f"file:{film}", metadata_errors="surrogateescape") as container:
        stream = main_picture(container)
        if stream is None:
            return 0
        start = float((stream.start_time or 0) * stream.time_base)
        for picture in pictures(container, stream):
            if end_seconds is not None and picture.time is not None and picture.time - start >= end_seconds - 1e-6:
                break
            count += 1
    return count


def pictures(container: Any, stream: Any) -> Iterator[Any]:
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except (av.FFmpegError, UnicodeDecodeError, MemoryError):
                continue
    except (av.FFmpegError, UnicodeDecodeError, MemoryError):
        return


def document(rows: list[Row]) -> Iterator[str]:
    upscaled = [row for row in rows if row.result]
    refused = [row for row in rows if not row.result]
    machine = describe_machine()
    yield INTRODUCTION.format(
        today=date.today().isoformat(),
        lipt=version("lipt-stream"),
        av=version("av"),
        ffmpeg=av.ffmpeg_version_info,
        cores=machine["cores"],
        cpu=machine["cpu"],
        count=len(rows),
        upscaled=len(upscaled),
        refused=len(refused),
        failed=sum(len(row.failures) for row in rows),
        slowest=max(row.seconds for row in rows),
    )
    yield "## Upscaled\n"
    yield "| file | in | plain | out | result | notes |"
    yield "|---|---|---|---|---|---|"
    for row in upscaled:
        cut = f", to {row.end_seconds:g} s" if row.end_seconds is not None else ""
        yield cells(row.name, row.source + cut, row.plain, row.out, row.result, "; ".join(told(row)))
    yield "\n## Refused\n"
    yield "| file | in | plain | words |"
    yield "|---|---|---|---|"
    for row in refused:
        yield cells(row.name, row.source, row.plain, "; ".join(told(row)))


def told(row: Row) -> list[str]:
    return row.words + [f"**CHECK FAILED: {failure}**" for failure in row.failures]


def cells(*values: object) -> str:
    return "| " + " | ".join(str(value).replace("|", "\\|").replace("\n", " ") for value in values) + " |"


if __name__ == "__main__":
    main()
