"""The child of mutants.py: puts one damaged file after the other through upscale_file and says what became of each.

Reads one JSON object a line (index, mutant, output, frames) and answers with one JSON object a line. Whatever is not
foreseen is a verdict of its own; a crash or a hang is for the parent to see.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import torch

from lipt_stream import LiptError, PipelineSpec, Report, Upscaler, upscale_file
from lipt_stream.observe.process import forget_peak_rss, peak_rss_mb

SPEC = PipelineSpec(
    model="nano",
    device="cpu",
    runtime="torch",  # OpenVINO would compile the network anew for every size that damage makes up
    precision="float32",
    threads=1,
    depth=2,
    encoder_threads=1,
    decoder_threads=2,
)
TELLING = ("damage", "states", "missing", "of which", "changes within")  # what is said of damage
FAST = {"libx264": {"preset": "ultrafast"}, "libsvtav1": {"preset": "12"}}


@dataclass
class Reading:
    """What a plain PyAV loop makes of a file. `signs`: all that tells a reader that something is missing."""

    pictures: int = 0
    end_seconds: float = 0.0
    signs: list[str] = field(default_factory=list)


def main() -> None:
    torch.set_num_threads(1)
    upscaler = Upscaler.load("nano", device="cpu", runtime="torch", precision="float32", threads=1)
    for line in sys.stdin:
        job = json.loads(line)
        forget_peak_rss()  # so that the peak is of one mutant alone (Linux)
        verdict = judge(upscaler, Path(job["mutant"]), Path(job["output"]), job["frames"])
        print(json.dumps({"index": job["index"], **verdict, "peak_rss_mb": round(peak_rss_mb())}), flush=True)


def judge(upscaler: Upscaler, mutant: Path, output: Path, frames: int) -> dict[str, Any]:
    """The outcome of one mutant of a film of `frames` pictures: `outcome`, `words`, and for a defect `detail`."""
    encoder = "libsvtav1" if output.suffix == ".webm" else "libx264"
    spec = SPEC.but({"encoder": encoder, "encoder_options": FAST[encoder]})
    try:
        report = upscale_file(mutant, output, spec=spec, upscaler=upscaler)
    except LiptError as error:
        return _judge_refusal(error, mutant, output)
    except BaseException as error:  # noqa: BLE001  anything else is what is looked for
        return _defect(f"{type(error).__name__} instead of a LiptError", traceback.format_exc())
    finally:
        left = sorted(path.name for path in output.parent.iterdir() if path != mutant)
    if left != [output.name]:
        return _defect("the result is not alone in its folder", str(left))
    return _judge_result(report, read_plainly(mutant), read_plainly(output), frames)


def _judge_refusal(error: LiptError, mutant: Path, output: Path) -> dict[str, Any]:
    words = _class_of(str(error), mutant, output)
    if "\n" in str(error):
        return _defect("a message of several lines", str(error))
    for path in output.parent.iterdir():
        if path in (output, output.with_name(output.name + ".part")):
            return _defect("something is left under the final name", f"{path.name} after {error}")
        if path != mutant and read_plainly(path).pictures == 0:
            return _defect("a part was kept that does not play", path.name)
    plain = read_plainly(mutant)
    if plain.pictures:
        return {"outcome": "refused", "words": words, "plain_pictures": plain.pictures}
    return {"outcome": "refused", "words": words}


def _judge_result(report: Report, plain: Reading, result: Reading, frames: int) -> dict[str, Any]:
    told = [note for note in report.notes if any(word in note for word in TELLING)]
    told += [f"{report.frames_concealed} concealed"] if report.frames_concealed else []
    if result.pictures != report.frames_out or not report.ok or report.frames_in != report.frames_out:
        wrong = [check for check in report.checks if not check.ok]
        counts = (report.frames_in, report.frames_out, result.pictures)
        return _defect("the result is not what the report says", f"{counts} {wrong} {told}")
    if result.signs:
        return _defect("the result does not decode cleanly", str(result.signs))
    if report.frames_out < plain.pictures:
        return _defect("a plain loop reads more pictures", f"{plain.pictures}, not {report.frames_out}: {told}")
    if report.frames_out < frames and not told:
        if plain.signs:
            return _defect("pictures are missing without a word", f"{report.frames_out}: {plain.signs}")
        return {"outcome": "upscaled", "words": "fewer pictures, and nothing in the file tells"}
    return {"outcome": "upscaled, damage said" if told else "upscaled", "words": _numberless(told[0]) if told else ""}


def read_plainly(path: Path) -> Reading:
    """Demux and decode packet by packet, as a small script would, going on behind an error of the decoder."""
    reading = Reading()
    try:
        with av.open(f"file:{path}", metadata_errors="surrogateescape") as container:
            stream = next(s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic)
            _decode_plainly(container, stream, reading)
            stated = stream.frames
            if stated > reading.pictures and container.format.name != "avi":  # which counts repeated pictures, too
                reading.signs.append(f"{stated} pictures stated, {reading.pictures} read")
            _compare_duration(stream, reading)
    except (av.FFmpegError, UnicodeDecodeError, MemoryError, ValueError, StopIteration) as error:
        reading.signs.append(f"opening or demuxing: {error}")
    return reading


def _decode_plainly(container: Any, stream: Any, reading: Reading) -> None:
    for packet in container.demux(stream):
        try:
            pictures = packet.decode()
        except (av.FFmpegError, UnicodeDecodeError, MemoryError) as error:
            reading.signs.append(f"decoding: {error}")
            continue
        reading.pictures += len(pictures)
        for picture in pictures:
            if picture.time is not None:
                end = picture.time + float((picture.duration or 0) * picture.time_base)
                reading.end_seconds = max(reading.end_seconds, end)
            if picture.is_corrupt:
                reading.signs.append("a corrupt picture")


def _compare_duration(stream: Any, reading: Reading) -> None:
    """A film that states a length of its pictures and ends well before it. Matroska states one in its tags alone."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))
    if tag:
        stated = float(tag[1]) * 3600 + float(tag[2]) * 60 + float(tag[3])
    elif stream.duration and "matroska" not in stream.container.format.name:
        stated = float(stream.duration * stream.time_base)
    else:
        return
    if reading.end_seconds < stated - 0.3:
        reading.signs.append(f"{stated:.2f} s stated, {reading.end_seconds:.2f} s read")


def _defect(words: str, detail: str) -> dict[str, Any]:
    return {"outcome": "DEFECT", "words": words, "detail": detail[-4000:]}


def _class_of(message: str, mutant: Path, output: Path) -> str:
    """The message without what differs from file to file."""
    for path in (mutant, output):
        message = message.replace(str(path), "FILE")
    return _numberless(message)


def _numberless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?", "N", text)


if __name__ == "__main__":
    main()
