"""Live streams recorded: files that play whatever became of the program, follow each other, and replace none."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import psutil
import pytest

from lipt_stream.live.backoff import Backoff
from tests.live.sinks.conftest import wait_until

if TYPE_CHECKING:
    from lipt_stream.live.outlet import Outlet
    from tests.live.sinks.conftest import Broadcast

    Open = Callable[..., Outlet]


def contents(path: Path) -> tuple[int, float, float]:
    """The number of pictures that can be decoded, and the times of the first picture and the first sound."""
    with av.open(str(path)) as film:
        times = [picture.time for picture in film.decode(video=0)]
    with av.open(str(path)) as film:
        sound = next(film.decode(audio=0)).time
    assert times == sorted(set(times))
    return len(times), times[0], sound


def muxing_process() -> psutil.Process:
    return next(child for child in psutil.Process().children() if "mux_child" in " ".join(child.cmdline()))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_every_picture_is_in_the_file(broadcast: Broadcast, tmp_path: Path, sink_to: Open, suffix: str) -> None:
    path = tmp_path / f"50%d: film{suffix}"
    sink = sink_to(str(path))
    for packet in broadcast.packets(5):
        sink.offer(packet)
    sink.close(30)
    status = sink.status()
    assert (status.state, status.delivered, status.dropped, status.restarts) == ("closed", 150, 0, 0)
    pictures, first, sound = contents(path)
    assert pictures == 150
    assert abs(first - sound) < 0.04


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_recording_plays_and_the_next_has_another_name(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open, suffix: str
) -> None:
    sink = sink_to(str(tmp_path / f"film{suffix}"))
    broadcast.play(sink, until=lambda: sink.status().delivered >= 120, speed=10)
    assert sink.status().detail == str(tmp_path / f"film{suffix}")
    muxing_process().kill()
    broadcast.play(sink, until=lambda: sink.status().restarts, speed=10)
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    assert contents(tmp_path / f"film{suffix}")[0] > 60
    sink.close(30)
    assert contents(tmp_path / f"film-0002{suffix}")[0] > 0


ABANDONED = """
import dataclasses, sys
from lipt_stream.live.outlet import Outlet
from lipt_stream.live.targets import parse_target
from tests.live.sinks.conftest import Broadcast

broadcast = Broadcast()
sinks = [Outlet(dataclasses.replace(parse_target(text), stall_seconds=1)) for text in sys.argv[1:]]
for sink in sinks:
    sink.open(broadcast.streams)
broadcast.play(*sinks, until=lambda: sinks[0].status().delivered > 60)
print("recorded", flush=True)
sys.stdin.read()
"""


def test_a_killed_program_leaves_a_finished_file_and_no_process(tmp_path: Path, black_hole: int) -> None:
    path = tmp_path / "film.mkv"
    command = [sys.executable, "-c", ABANDONED, path, f"rtmp://127.0.0.1:{black_hole}/live/a"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stdout.readline() == b"recorded\n"
        children = psutil.Process(program.pid).children()
        program.kill()
    assert children
    _, alive = psutil.wait_procs(children, 30)
    assert not alive
    with av.open(str(path)) as film:
        assert film.duration  # written with the end


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_segments_begin_at_keyframes_and_follow_those_that_are_there(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open, suffix: str
) -> None:
    (tmp_path / f"film-0002{suffix}").write_text("someone else's")
    sink = sink_to(str(tmp_path / f"film{suffix}"), segment_seconds=2)
    for packet in broadcast.packets(5):
        sink.offer(packet)
    sink.close(30)
    assert (tmp_path / f"film-0002{suffix}").read_text() == "someone else's"
    found = [contents(tmp_path / f"film-{number:04}{suffix}") for number in (3, 4, 5)]  # where 1 was deleted too
    assert [pictures for pictures, _, _ in found] == [60, 60, 30]
    assert all(abs(first - sound) < 0.06 for _, first, sound in found)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_index_over_every_packet_is_made_for_segments_alone(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open
) -> None:
    """It grows in memory as long as the file does."""
    endless, segments = sink_to(str(tmp_path / "film.mp4")), sink_to(str(tmp_path / "part.mp4"), segment_seconds=60)
    for packet in broadcast.packets(5):
        endless.offer(packet)
        segments.offer(packet)
    endless.close(30)
    segments.close(30)
    indexed = {}
    for path in tmp_path.iterdir():
        with av.open(str(path)) as film:
            indexed[path.name] = film.streams.video[0].frames
            assert film.duration == pytest.approx(5_000_000, abs=50_000)
    assert indexed == {"film.mp4": 0, "part-0001.mp4": 150}


def test_a_terminated_process_finishes_its_file(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"))
    broadcast.play(sink, until=lambda: sink.status().delivered >= 60, speed=10)
    process = muxing_process()
    process.send_signal(signal.SIGINT)  # which is for the parent alone
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert film.duration  # written with the end


def test_a_service_that_is_stopped_ends_its_file_in_order(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"), queue_seconds=20)
    offered = broadcast.play(sink, until=lambda: sink.status().delivered >= 30)
    muxing_process().send_signal(signal.SIGTERM)  # systemd's goes to all processes of a service
    offered += broadcast.play(sink, until=lambda: sink.status().delivered >= 45)
    sink.close(20)
    status = sink.status()
    assert (status.state, status.restarts, status.last_trouble) == ("closed", 0, "")
    assert status.delivered + status.dropped == offered
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert film.duration
        assert sum(1 for _ in film.decode(video=0)) == status.delivered


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("{}/nowhere/film.mp4", "The folder does not exist"),
        ("{}/file.txt/film.mkv", "A part of the path is not a folder"),
        ("hls:{}/file.txt", "A file has that name"),
    ],
)
def test_what_cannot_be_written_is_not_tried_again(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open, text: str, detail: str
) -> None:
    (tmp_path / "file.txt").touch()
    sink = sink_to(text.format(tmp_path))
    offered = broadcast.play(sink, until=lambda: sink.status().state == "failed")
    sink.close(1)
    status = sink.status()
    assert status.state == "failed"
    assert status.detail.startswith(detail)
    assert (status.restarts, status.delivered, status.dropped) == (0, 0, offered)


def test_a_folder_that_vanishes_and_returns_is_written_to_again(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is pulled out looks, for what is tried meanwhile, as if its folder did not exist."""
    monkeypatch.setattr(Backoff, "next", lambda _self, _limit_seconds: 0.05)
    folder = tmp_path / "disk"
    folder.mkdir()
    sink = sink_to(str(folder / "film.mkv"))
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    folder.rename(tmp_path / "elsewhere")
    muxing_process().kill()
    broadcast.play(sink, until=lambda: sink.status().restarts > 1)
    assert sink.status().state == "retrying"
    folder.mkdir()
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    sink.close(20)
    assert sink.status().state == "closed"


def test_what_never_came_through_has_failed(broadcast: Broadcast, port: int, sink_to: Open) -> None:
    sink = sink_to(f"rtsp://127.0.0.1:{port}/publish")
    broadcast.play(sink, until=lambda: sink.status().restarts)
    sink.close(5)
    assert (sink.status().state, sink.status().detail) == ("failed", "Connection refused")


def test_a_container_whose_clock_runs_over_is_begun_anew(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"), longest_seconds=0.5)
    broadcast.play(sink, until=lambda: len(list(tmp_path.iterdir())) >= 3)
    sink.close(20)
    status = sink.status()
    assert (status.state, status.detail.endswith(".mkv")) == ("closed", True)
    assert status.restarts == 0, "no failure"
    for path in tmp_path.iterdir():
        with av.open(str(path)) as film:
            assert film.duration  # written with the end


def test_segments_leave_nothing_open(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"), segment_seconds=1)

    def begun() -> int:
        """Files that hold something: between its making and its opening, one holds nothing, and no descriptor."""
        return sum(path.stat().st_size > 0 for path in tmp_path.iterdir())

    def descriptors_at_rest() -> int:
        wait_until(lambda: sink.status().delivered + sink.status().dropped == offered, "all is written")
        return muxing_process().num_fds()

    offered = broadcast.play(sink, until=lambda: begun() >= 2, speed=5)
    before = descriptors_at_rest()
    offered += broadcast.play(sink, until=lambda: begun() >= 6, speed=5)
    assert descriptors_at_rest() == before


def test_a_full_disk_is_tried_again(broadcast: Broadcast, sink_to: Open) -> None:
    sink = sink_to("/dev/full.ts", url="/dev/full", place="network", format="mpegts")
    broadcast.play(sink, until=lambda: sink.status().restarts)
    assert sink.status().detail == "No space left on device"
    assert sink.status().state == "retrying"
