"""A second signal ends a run at once, and in order: no two threads at one encoder, nothing that looks finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest

from lipt_stream.cli.screen import say_error
from lipt_stream.cli.signals import Signals

# Encoding that takes a second a picture, and tells when the file is ended in the midst of it.
SLOW = """
import sys, time
from lipt_stream.cli.main import main
from lipt_stream.media.file_sink import FileSink

is_writing = False
real_write, real_abort = FileSink.write, FileSink.abort

def write(sink, frame):
    global is_writing
    is_writing = True
    print("writing", flush=True)
    real_write(sink, frame)
    time.sleep(1)
    is_writing = False

def abort(sink):
    print("aborted while a picture is written" if is_writing else "aborted", flush=True)
    return real_abort(sink)

FileSink.write, FileSink.abort = write, abort
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_while_frames_in_flight_are_finished(
    clip: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = ["upscale", str(clip), str(tmp_path / "large.mp4"), "--device", "cpu", "--model", "nano", "--depth", "8"]
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SLOW, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == "writing\n"
        time.sleep(1)  # until all slots are upscaled, and wait for the encoder
        process.send_signal(number)
        assert process.stderr.readline() == "\n"
        assert process.stderr.readline().startswith("stopping: finishing the frames in flight")
        time.sleep(0.5)
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    where = tmp_path / "large.partial.mp4"
    assert (process.returncode, errors) == (code, f"stopped. What was done until then is in {where}\n")
    assert out.split("\n")[-2:] == ["aborted", ""]
    assert out.count("writing") < 5, "what is in flight is not waited for"
    assert [path.name for path in tmp_path.iterdir()] == ["large.partial.mp4"]
    with av.open(str(tmp_path / "large.partial.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == out.count("writing") + 1


def test_a_signal_is_handled_though_nobody_reads_the_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    signals = Signals("ending", say_error)
    with os.fdopen(write, "w") as errors:
        monkeypatch.setattr(sys, "stderr", errors)
        signals.handle(signal.SIGTERM, None)
        assert signals.stop.requested
        assert signals.exit_code == 143
        monkeypatch.undo()
