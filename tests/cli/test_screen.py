"""A reader who goes away hears no more, and the run goes on to its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import pytest

from lipt_stream.cli import entry, live_panel, progress
from lipt_stream.cli.screen import screen
from tests.program import let_sessions_finish, run_program

PROGRAM = [sys.executable, "-W", "error", "-m", "lipt_stream"]
CPU = ("--device", "cpu", "--model", "nano")


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def lose_reader(*numbers: int) -> None:
    read, write = os.pipe()
    os.close(read)
    for number in numbers:
        os.dup2(write, number)
    os.close(write)


def without_a_reader_of_lines() -> None:
    let_sessions_finish()
    progress.PLAIN_INTERVAL_SECONDS = live_panel.PLAIN_INTERVAL_SECONDS = 0  # type: ignore[misc]
    lose_reader(1)


def without_any_reader() -> None:
    progress.PLAIN_INTERVAL_SECONDS = live_panel.PLAIN_INTERVAL_SECONDS = 0  # type: ignore[misc]
    lose_reader(1, 2)


def without_a_reader_of_the_bar() -> None:
    let_sessions_finish()
    os.environ["FORCE_COLOR"] = "1"  # rich then takes anything for a terminal
    lose_reader(1, 2)


def without_a_reader_of_errors() -> None:
    progress.PLAIN_INTERVAL_SECONDS = 0
    lose_reader(2)


BEFORE = [without_a_reader_of_lines, without_a_reader_of_the_bar]


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
def test_a_film_is_finished(clip: Path, tmp_path: Path, before: Callable[[], None]) -> None:
    done = run_program("upscale", clip, tmp_path / "x.mp4", *CPU, "--end", "0.5", before=before)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]
    assert frames_of(tmp_path / "x.mp4") == 15


def test_json_is_printed_though_nobody_reads_the_progress(clip: Path, tmp_path: Path) -> None:
    done = run_program(
        "upscale", clip, tmp_path / "x.mp4", *CPU, "--end", "0.2", "--json", before=without_a_reader_of_errors
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["ok"]


def test_films_after_one_that_fails_are_upscaled(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a film")
    (tmp_path / "b.mp4").symlink_to(clip)
    words = ("upscale", tmp_path / "a.mp4", tmp_path / "b.mp4", "-o", f"{tmp_path}/out/", *CPU, "--end", "0.2")
    assert run_program(*words, before=without_any_reader).returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b_2x.mp4"]


@pytest.mark.parametrize("before", BEFORE, ids=lambda before: before.__name__)
@pytest.mark.parametrize("stats", [(), ("--stats", "-")], ids=["", "stats"])
def test_a_live_session_goes_on(before: Callable[[], None], stats: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "x.mp4"
    words = ("live", "test:64x64@10", "--to", target, "--model", "lanczos", "--runtime", "torch", "--duration", "2.5")
    done = run_program(*words, *stats, before=before)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    is_told = bool(stats) and before is without_a_reader_of_lines
    assert done.stderr.count("statistics: cannot write -") == is_told
    assert frames_of(target) > 0


def test_the_exit_code_of_the_process_is_the_runs(clip: Path, tmp_path: Path) -> None:
    """Python itself makes it 120 where standard output cannot be flushed at the end."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-W", "error", "-m", "lipt_stream", "upscale", str(clip), str(tmp_path / "x.mp4"), *CPU]
    done = subprocess.run([*command, "--end", "0.2"], stdout=write, stderr=subprocess.PIPE, timeout=240, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert frames_of(tmp_path / "x.mp4") > 0


@contextmanager
def held() -> Generator[int]:
    """What a terminal is after Ctrl-S, or a pipe that is full and read by nobody: writing to it blocks."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    os.set_blocking(write, True)
    try:
        yield write
    finally:
        os.close(write)
        os.close(read)


def test_a_terminal_that_is_held_holds_no_session(tmp_path: Path) -> None:
    stats = tmp_path / "stats.jsonl"
    words = ("live", "test:64x64@10", "--to", "null", "--model", "lanczos", "--runtime", "torch", "--stats", str(stats))
    with held() as terminal:
        process = subprocess.Popen([sys.executable, "-m", "lipt_stream", *words], stdout=terminal, stderr=terminal)
        try:
            deadline = time.monotonic() + 60
            while not (stats.exists() and stats.read_text().count("\n") > 3):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            told = time.monotonic()
            process.terminate()
            assert process.wait(30) == 143
            assert time.monotonic() - told < 10  # 3 s, of a machine that has other work
        finally:
            process.kill()


# Three lines may wait, and ten come a second.
HASTY = """
from lipt_stream.cli import aside, live_run, main
from lipt_stream.live import lookout
aside._MOST_WAITING, lookout.TELL_SECONDS, live_run.SAY_TO_THE_END_SECONDS = 3, 0.1, 120
main.main()
"""


def test_the_report_comes_though_nobody_read_the_statistics_before_it_and_says_how_many_are_lost() -> None:
    words = ("live", "test:64x64@10", "--to", "null", "--model", "lanczos", "--runtime", "torch", "--duration", "3")
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b" " * 4095 + b"\n")
    os.set_blocking(write, True)
    command = [sys.executable, "-c", HASTY, *words, "--stats", "-", "--json", "--require-fps", "500"]
    process = subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert process.stderr is not None
    with os.fdopen(read) as out, process:
        while not process.stderr.readline().startswith("missed: "):
            assert process.poll() is None, "it waits for its reader"
        lines = [json.loads(line) for line in out if line.strip()]
        errors = process.stderr.read()
    assert process.returncode == 4
    assert "sinks" in lines[-1]
    assert "peak_rss_mb" in lines[-1]
    lost = re.search(r"^statistics: (\d+) of (\d+) lines did not reach -$", errors, re.MULTILINE)
    assert lost is not None, errors
    assert int(lost[2]) - int(lost[1]) == len(lines) - 1


def test_a_session_that_fails_ends_though_the_terminal_is_held() -> None:
    impatient = "from lipt_stream.cli import live_run, main; live_run.SAY_TO_THE_END_SECONDS = 0.5; main.main()"
    words = ("live", "rtsp://127.0.0.1:9/camera", "--retries", "0", "--to", "null", "--model", "lanczos")
    with held() as terminal:
        command = [sys.executable, "-c", impatient, *words]
        assert subprocess.run(command, stdout=terminal, stderr=terminal, timeout=240, check=False).returncode == 1


def test_a_program_started_with_its_outputs_closed_does_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)  # as Python has it after `>&- 2>&-`
    monkeypatch.setattr(sys, "argv", ["lipt-stream", "upscale", "nowhere.mp4"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    sys.stdout.close()
    sys.stderr.close()
    assert ended.value.code == 1


def test_output_into_a_closed_pipe_is_no_defect() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run([*PROGRAM, "models"], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert "Traceback" not in process.stderr
    assert "defect" not in process.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_log_goes_on_once_its_disk_has_room_again(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as log, (tmp_path / "log").open("w") as roomy:
        said = screen(log)
        for text in ("lost\n", "x" * 100_000):
            said.write(text)
            said.flush()
        os.dup2(roomy.fileno(), log.fileno())
        said.write("written\n")
        said.flush()
    assert (tmp_path / "log").read_text() == "written\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_result_that_finds_no_room_is_no_defect() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*PROGRAM, "models"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    said = "Cannot print the result: No space left on device. Make room where the output of this command goes"
    assert done.stderr == f"error: {said}\n"
