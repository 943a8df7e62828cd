"""Recordings: what they are called, and that those which cannot be are said when they are asked for."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lipt_stream.errors import SettingsError
from lipt_stream.frame import VideoFormat
from lipt_stream.live.broadcast import Broadcast
from lipt_stream.live.recorder import Recorder
from lipt_stream.live.spec import LiveSpec

FORMAT = VideoFormat(width=64, height=64, frame_rate=Fraction(25))
NOON = datetime(2026, 10, 25, 12)


def test_a_file_is_no_folder_to_record_to(tmp_path: Path) -> None:
    file = tmp_path / "films"
    file.touch(0o700)
    recorder = Recorder(file)
    broadcast: Any = None  # is not asked for anything
    with pytest.raises(SettingsError, match="cannot be written to"):
        recorder.begin(broadcast)
    assert recorder.name is None


@pytest.fixture
def broadcast() -> Iterator[Broadcast]:
    broadcast = Broadcast(FORMAT, FORMAT, None, None, LiveSpec(encoder="libx264"))
    yield broadcast
    broadcast.close()


def test_one_that_can_never_work_is_not_shown_as_running_and_another_can_be_begun(
    broadcast: Broadcast, tmp_path: Path
) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    recorder, outcomes = Recorder(folder), queue.SimpleQueue[str]()
    recorder.begin(broadcast)
    folder.rmdir()  # before its process has made the file
    deadline = time.monotonic() + 30
    while recorder.name is not None:
        assert time.monotonic() < deadline, broadcast.statuses()
        time.sleep(0.02)
    folder.mkdir()
    recorder.begin(broadcast)
    assert recorder.name is not None
    broadcast.write(FORMAT.new_planes(), FORMAT.new_planes(), 0)
    recorder.end(broadcast, outcomes.put)
    assert outcomes.get(timeout=30).endswith(": written")


def test_every_recording_has_the_name_that_is_shown(broadcast: Broadcast, tmp_path: Path) -> None:
    """Three are begun in one second, one in the next, and one after the clock was set back."""
    moments = [NOON, NOON, NOON, NOON + timedelta(seconds=1), NOON]
    recorder = Recorder(tmp_path, now=iter(moments).__next__)
    shown: list[str] = []
    outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
    for number, _ in enumerate(moments):
        recorder.begin(broadcast)
        assert recorder.name is not None
        shown.append(recorder.name)
        broadcast.write(FORMAT.new_planes(), FORMAT.new_planes(), 3600 * number)
        recorder.end(broadcast, outcomes.put)
        if number >= 2:  # those of one second are begun before the first has made its file
            while len(list(tmp_path.iterdir())) <= number:
                outcomes.get(timeout=30)
    assert [Path(name).name for name in shown] == [
        "lipt-stream-20261025-120000.mkv",
        "lipt-stream-20261025-120000-2.mkv",
        "lipt-stream-20261025-120000-3.mkv",
        "lipt-stream-20261025-120001.mkv",
        "lipt-stream-20261025-120000-4.mkv",
    ]
    assert {str(path) for path in tmp_path.iterdir()} == set(shown)
