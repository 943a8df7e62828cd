"""`lipt-stream live`, as a program: its exit codes, its one-line errors, what it writes and what it hides."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from tests.program import let_sessions_finish, run_program

PROGRAM = [sys.executable, "-m", "lipt_stream", "live"]
PATIENT = "from tests.program import let_sessions_finish, main; let_sessions_finish(); main()"
REPOSITORY = Path(__file__).parents[2]
QUICK = ("--model", "lanczos", "--runtime", "torch")
PATIENCE_SECONDS = 200


def until(holds: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return result


def pictures_delivered(stats: Path) -> int:
    """To the first sink."""
    lines = stats.read_text().split("\n")[:-1] if stats.exists() else []
    return next((sink["delivered"] for line in lines[-1:] for sink in json.loads(line)["sinks"]), 0)


def test_a_run_tells_what_it_did_and_whether_the_rate_was_held(tmp_path: Path) -> None:
    target, stats = tmp_path / "larger.mp4", tmp_path / "stats.jsonl"
    done = run_program(
        "live",
        *("test:64x64@10", "--to", target, "--to", "null", *QUICK, "--duration", "2.5"),
        *("--stats", stats, "--json", "--require-fps", "500"),
        before=let_sessions_finish,
    )
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("missed: ")
    report = json.loads(done.stdout)
    lines = [json.loads(line) for line in stats.read_text().splitlines()]
    assert len(lines) >= 2
    assert report["frames_out"] >= lines[-1]["frames_out"] > 0
    assert [sink["name"] for sink in lines[-1]["sinks"]] == [str(target), "null"]
    assert [sink["state"] for sink in lines[-1]["sinks"]] == ["ok", "ok"]
    assert [sink["state"] for sink in report["sinks"]] == ["closed", "closed"]
    with av.open(str(target)) as container:
        assert len(list(container.decode(video=0))) == report["frames_out"] + report["frames_repeated"]


def test_an_address_is_told_as_it_is(tmp_path: Path) -> None:
    """Rich makes pictures of words between colons, such as the groups of an IPv6 address."""
    target = tmp_path / "camera-2a02:100::1.mkv"
    done = run_program("live", "test:64x64@10", "--to", target, *QUICK, "--duration", "0.5", before=let_sessions_finish)
    assert done.returncode == 0, done.stderr
    assert f"to {target}: " in done.stdout


def test_a_token_that_the_next_run_will_not_know_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    done = subprocess.run(
        [*PROGRAM, "test:64x64@10", "--to", "preview", *QUICK, "--duration", "0.5"],
        capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    why = f"(for this run alone, because the token cannot be kept: {tmp_path / 'file'}"
    assert re.search(rf"^page: http://127.0.0.1:\d+/\?token=\S+ {re.escape(why)}", done.stdout, re.MULTILINE)


def test_a_disk_that_is_full_costs_the_statistics_and_not_the_session() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    done = run_program(
        "live", "test:64x64@10", "--to", "null", *QUICK, "--duration", "3.5", "--stats", "/dev/full", "--json"
    )
    assert done.returncode == 0
    assert done.stderr.count("statistics: cannot write /dev/full") == 1
    assert re.search(r"^statistics: (\d+) of \1 lines did not reach /dev/full$", done.stderr, re.MULTILINE)
    assert json.loads(done.stdout)["frames_out"] > 5


def test_a_sink_that_never_worked_is_told_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "index.m3u8").mkdir()  # nothing can be written under that name
    done = run_program("live", "test:64x64@10", "--to", f"hls:{folder}", *QUICK, "--duration", "3", "--quiet")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: hls:{folder}: ")


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_a_playable_file(tmp_path: Path, number: int, exit_code: int) -> None:
    target, stats = tmp_path / "larger.mp4", tmp_path / "stats.jsonl"
    arguments = ("test:64x64@10", "--to", str(target), *QUICK, "--stats", str(stats))
    command = [sys.executable, "-c", PATIENT, "live", *arguments]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            until(lambda: pictures_delivered(stats) >= 10)
            process.send_signal(number)
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == exit_code, said
    assert b"Traceback" not in said
    with av.open(str(target)) as container:
        assert len(list(container.decode(video=0))) >= 10


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a program hide its arguments")
def test_passwords_and_keys_are_not_in_the_process_list() -> None:
    source, sink = "rtsp://admin:hunter2@127.0.0.1:9/camera", "rtmp://127.0.0.1:9/live/my-stream-key"
    mistyped = "rtsp:/admin:hunter2@127.0.0.1/x"
    command = [*PROGRAM, source, "--to", sink, "--to", "preview", "--port", "0", "--record-to", mistyped, "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            listed = Path(f"/proc/{process.pid}/cmdline")
            until(lambda: b"***" in listed.read_bytes())
            words = listed.read_bytes().decode().split("\0")
        finally:
            process.kill()
    assert not [word for word in words if "my-stream-key" in word]
    assert [word.strip() for word in words if "127.0.0.1" in word] == [
        "rtsp://***@127.0.0.1:9/camera",
        "rtmp://127.0.0.1:9/live/***",
        "rtsp:/***@127.0.0.1/x",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("rtsp://admin:hunter2@cam/x",),
        ("live", "test", "rtsp://admin:hunter2@cam/x"),
        ("--rtsp://admin:hunter2@cam/x",),
        ("live", "--rtsp://admin:hunter2@cam/x"),
    ],
)
def test_an_address_in_the_wrong_place_is_refused_without_its_password(words: tuple[str, ...]) -> None:
    done = run_program(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: ")
    assert "hunter2" not in done.stdout + done.stderr
    assert "cam/" in done.stderr


def test_an_option_that_would_do_nothing_is_none() -> None:
    """Files always play at their own speed."""
    done = run_program("live", "film.mp4", "--realtime")
    assert done.returncode == 2
    assert "No such option" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("rtsp://admin:hunter2@127.0.0.1:9/camera", "--to", "null", "--retries", "0"), "127.0.0.1:9/camera"),
        (("no-such-film.mp4", "--to", "null"), "no-such-film.mp4"),
        (("test:64x64@10", "--to", "ftp://somewhere/else"), "ftp://somewhere/else"),
        (("test:64x64@10", "--to", "rtsp:/admin:hunter2@cam/x"), "rtsp:/***@cam/x"),
        (("test:64x64@10", "--to", "null", "--model", "huge"), "huge"),
        (("test:64x64@10", "--to", "null", "--model", "rtsp://admin:hunter2@cam/x"), "cam/x"),
        (("test:64x64@10", "--to", "null", "--latency", "0"), "--latency"),
        (("test:0x48@10", "--to", "null"), "test:0x48@10"),
        (("test:64x64@10", "--to", "no-such-folder/day.mkv"), "no-such-folder"),
        (("test:64x64@10", "--to", "null", "--port", "9000"), "--port"),
        (("test:64x64@10", "--to", "null", "--record-to", "clips"), "--record-to"),
        (("test:64x64@10", "--to", "null", "--transport", "udp"), "transport"),
        (("test:64x64@10", "--to", "null", "--stall", "inf"), "--stall"),
        (("test:64x64@10", "--to", "null", "--stall", "90000"), "--stall"),
        (("test:64x64@10", "--to", "null", "--bitrate", "10000000"), "--bitrate"),
        (("test:64x64@10", "--to", "a.mkv", "--segment", "0"), "--segment"),
        (("test:64x64@10", "--to", "null", "--require-fps", "nan"), "--require-fps"),
        (("test:64x64@10", "--to", "hls:no-such-folder/public"), "no-such-folder"),
        (("rtsp://127.0.0.1:9/off", "--to", "null", "--encoder", "libx265"), "libx265"),
        (("rtsp://127.0.0.1:9/off", "--to", "null", "--crf", "99"), "--crf 99"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_where(arguments: tuple[str, ...], what: str) -> None:
    done = run_program("live", *arguments, *(() if "--model" in arguments else QUICK))
    assert done.returncode in (1, 2)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert what in errors[0]
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
