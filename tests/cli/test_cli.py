"""The program as its users run it: in a process of its own, on real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from lipt_stream.cli.bench import encoder_for
from lipt_stream.frame import End, Frame, Planes
from lipt_stream.media.file_source import FileSource
from lipt_stream.model.catalog import entries, find, path_of
from lipt_stream.stream.spec import PipelineSpec
from tests.program import run_program as lipt

PROGRAM = [sys.executable, "-W", "error", "-m", "lipt_stream"]
CPU = ["--device", "cpu", "--model", "nano"]
SLOWLY = ["--device", "cpu", "--model", "nano", "--runtime", "torch", "--precision", "float32", "--threads", "1"]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_upscale_prints_one_json_object(clip: Path, tmp_path: Path) -> None:
    result = tmp_path / "large.mp4"
    done = lipt("upscale", clip, result, *CPU, "--end", "1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["frames_in"] == report["frames_out"] == frames_of(result)
    assert (report["frames_dropped"], report["frames_concealed"]) == (0, 0)
    assert report["fps"] > 0
    assert report["realtime_factor"] > 0
    assert report["output"] == str(result)


def test_upscale_says_what_it_did(clip: Path, tmp_path: Path) -> None:
    done = lipt("upscale", clip, "-o", tmp_path / "{stem}-big{ext}", *CPU, "--end", "0:00.5", "--preset", "fast")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"{clip.stem}-big.mp4").is_file()
    for words in ("frames:", "0 dropped", "real time", "network: nano-x2", "encoder: libx264"):
        assert words in done.stdout
    assert "\x1b" not in done.stdout, "no colours where no terminal is"


def test_quiet_says_nothing(clip: Path, tmp_path: Path) -> None:
    done = lipt("upscale", clip, tmp_path / "large.mp4", *CPU, "--end", "0.2", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_folder_in_and_one_bad_film_does_not_stop_the_rest(clip: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    shutil.copy(clip, films / "b.mp4")
    (films / "a.mp4").write_bytes(b"not a film at all")
    done = lipt("upscale", films, "-o", f"{tmp_path}/out/", *CPU, "--end", "0.3", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert [Path(item["output"]).name for item in report["files"]] == ["b_2x.mp4"]
    assert [Path(item["input"]).name for item in report["failed"]] == ["a.mp4"]
    assert (tmp_path / "out" / "b_2x.mp4").is_file()


def with_a_defect() -> None:
    real = FileSource.read

    def read(source: FileSource, into: Planes) -> Frame | End:
        if source.path.name == "a.mp4":
            raise ZeroDivisionError("by nothing")
        return real(source, into)

    FileSource.read = read  # type: ignore[method-assign]


@pytest.mark.parametrize("debug", [False, True])
def test_a_defect_at_one_film_does_not_stop_the_rest(clip: Path, tmp_path: Path, debug: bool) -> None:
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).symlink_to(clip)
    words = ("upscale", tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", f"{tmp_path}/out/", *CPU, "--end", "0.2")
    done = lipt(*(["--debug"] if debug else []), *words, "--json", before=with_a_defect)
    assert done.returncode == 1
    said = "a defect in lipt-stream, ZeroDivisionError: by nothing. Please report it with the output of `lipt-stream --"
    assert f"error: {tmp_path / 'a.mp4'}: {said}" in done.stderr
    assert ("Traceback" in done.stderr) == debug
    report = json.loads(done.stdout)
    assert [Path(item["output"]).name for item in report["files"]] == ["b_2x.mp4"]
    assert [(item["input"], said in item["error"]) for item in report["failed"]] == [(str(tmp_path / "a.mp4"), True)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["upscale", "nowhere.mp4"], 1, ["nowhere.mp4"]),
        (["upscale", "."], 1, ["No video files"]),
        (["upscale", "{clip}", "x.gif"], 1, ["x.gif", ".mkv"]),
        (["upscale", "{clip}", "{clip}"], 1, ["is an input"]),
        (["upscale", "{clip}", "x.mp4", "--model", "nanno"], 2, ["nanno", "Did you mean nano"]),
        (["upscale", "{clip}", "x.mp4", "--model", "{clip}"], 1, ["flower.mp4"]),
        (["upscale", "{clip}", "x.mp4", "--scale", "5"], 2, ["Use 1, 2, 3 or 4"]),
        (["upscale", "{clip}", "x.mp4", "--device", "gpu"], 2, ["Use auto, cpu, cuda"]),
        (["upscale", "{clip}", "x.mp4", "--encoder", "x264"], 2, ["x264", "libx264"]),
        (["upscale", "{clip}", "x.mp4", "-e", "presett=slow"], 2, ["presett", "preset"]),
        (["upscale", "{clip}", "x.mp4", "-e", "slow"], 2, ["-e key=value"]),
        (["upscale", "{clip}", "x.mp4", "--preset", "slow"], 2, ["-e preset=slow"]),
        (["upscale", "{clip}", "x.mp4", "--start", "soon"], 2, ["H:MM:SS"]),
        (["upscale", "{clip}", "x.mp4", "--start", "nan"], 2, ["H:MM:SS"]),
        (["upscale", "{clip}", "x.mp4", "--end", "1e999"], 2, ["H:MM:SS"]),
        (["upscale", "{clip}", "x.mp4", "--start", "2", "--end", "1"], 2, ["not after"]),
        (["upscale", "{clip}", "x.mp4", "--tile", "8", "--model", "nano"], 2, ["--tile"]),
        (["upscale", "{clip}", "x.mp4", "--tile", "²"], 2, ["--tile ² is no size"]),
        (["upscale", "{clip}", "-o", "{{ext[a]}}"], 2, ["The output pattern", "{stem}"]),
        (["eval", "--data", "nowhere"], 1, ["nowhere"]),
        (["bench", "-r", "9p"], 2, ["9p", "WIDTHxHEIGHT"]),
        (["bench", "-r", "64x48", "--rate", "nan"], 2, ["positive numbers"]),
        (["bench", "-r", "64x48", "--rate", "0.0004"], 2, ["0.0004", "from 0.1 to 1000"]),
        (["bench", "-r", "99999x99999"], 2, ["99999x99999", "at most 16384 pixels"]),
        (["live", "test", "--to", "null", "--scale", "0"], 2, ["--scale is 0", "Use 1, 2, 3 or 4"]),
        (["bench", "{clip}", "-r", "360p"], 2, ["flower.mp4 has its own size"]),
        (["bench", "--chart", "bars.foo"], 2, ["bars.foo", ".png, .svg, .pdf"]),
        (["bench", "--chart", "nowhere/bars.png"], 1, ["nowhere/bars.png", "Check its folder"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0] in ("upscale", "eval", "bench") else "",
)
def test_errors_are_one_line_with_the_way_out(
    clip: Path, tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    done = lipt(*(argument.format(clip=clip) for argument in arguments), cwd=tmp_path)
    line = one_line(done)
    assert line.startswith("error: ")
    for word in words:
        assert word in line
    assert done.returncode == code
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = lipt("--debug", "upscale", tmp_path / "nowhere.mp4")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_with_a_playable_part(clip: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Amid 90 pictures, each of which takes its time and is written at once."""
    part = tmp_path / "large.mp4.part"
    words = ("upscale", str(clip), str(tmp_path / "large.mp4"), "-e", "g=1", "-e", "tune=zerolatency")
    process = subprocess.Popen(
        [*PROGRAM, *words, *SLOWLY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 120
        while not (part.exists() and part.stat().st_size > 100_000):
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        out, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "stopping" in errors
    assert "Traceback" not in errors
    kept = [path for path in tmp_path.iterdir() if "partial" in path.name]
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in kept], "nothing looks finished"
    for path in kept:
        assert frames_of(path) > 0
        assert path.name in out


def test_models_lists_what_ships() -> None:
    shown = lipt("models").stdout  # as wide as a plain terminal
    assert all(f" {entry.name} " in shown for entry in entries()), "a broken name cannot be found"
    command, narrow = [*PROGRAM, "models"], os.environ | {"COLUMNS": "40"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=narrow)
    assert "\u2026" not in done.stdout, "a name that is cut off cannot be typed"
    listed = json.loads(lipt("models", "--json").stdout)
    assert {entry["name"] for entry in listed} >= {"nano-x2", "tiny-x2"}


def test_doctor_finds_encoders_and_weights() -> None:
    done = lipt("doctor", "--json")
    findings = {item["name"]: item for item in json.loads(done.stdout)}
    assert findings["encoder libx264"]["state"] == "ok"
    assert findings["weights nano-x2"]["state"] == "ok"
    assert findings["decoders"]["state"] == "ok"
    assert done.returncode == (1 if any(item["state"] == "broken" for item in findings.values()) else 0)
    assert all(item["advice"] for item in findings.values() if item["state"] != "ok")


def test_bench_json_and_chart_and_exit_code(clip: Path, tmp_path: Path) -> None:
    chart = tmp_path / "bench.png"
    done = lipt("bench", clip, *CPU, "--seconds", "0.3", "--target", "0.01", "--chart", chart, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["frames_in"] == result["frames_out"] > 0
    assert (result["frames_dropped"], result["frames_concealed"], result["output"]) == (0, 0, None)
    assert result["fps"] > 0
    assert result["realtime_factor"] > 0
    assert set(result["stages_alone_ms"]) == {"decode", "upload", "network", "download", "encode"}
    assert result["verdicts"] == {"0.01": True}
    assert result["bottleneck"] in result["stages_alone_ms"]
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_bench_takes_the_presets_encoder_unless_another_is_named() -> None:
    arguments = ["bench", "-r", "64x48", *CPU, "--seconds", "0.1", "--preset", "archive", "--json"]
    assert json.loads(lipt(*arguments).stdout)["encoder"] == "libx265"
    assert json.loads(lipt(*arguments, "--encoder", "libx264").stdout)["encoder"] == "libx264"


def test_bench_takes_an_encoder_that_holds_every_size() -> None:
    holds = encoder_for(PipelineSpec(), [(64, 48), (8200, 16)]).name
    assert holds == "libx265", "x264 and NVENC end below 16,400 columns"


def test_bench_says_no_with_its_exit_code(tmp_path: Path) -> None:
    weights = Path(shutil.copy(path_of(find("nano", 2)), tmp_path / "mine[new].safetensors"))
    words = ["bench", "-r", "64x48", "--device", "cpu", "--model", weights.name, "--encoder", "null"]
    done = lipt(*words, "--seconds", "0.1", "--target", "100000", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert weights.name in done.stdout
    assert "no (0." in done.stdout
    assert "limited by" in done.stdout


def test_a_name_that_the_terminal_cannot_show_is_no_defect(clip: Path, tmp_path: Path) -> None:
    result = tmp_path / "gro\u00df.mp4"
    command = [*PROGRAM, "upscale", str(clip), str(result), *CPU, "--end", "0.1"]
    plain = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=plain)
    assert done.returncode == 0, done.stderr
    assert "gro\\xdf.mp4" in done.stdout
    assert result.is_file()
