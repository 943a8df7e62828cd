"""What an outlet promises whoever feeds it, whatever becomes of its process."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import av
import psutil
import pytest

from lipt_stream.live.backoff import Backoff
from lipt_stream.live.mux_process import MuxProcess
from lipt_stream.live.outlet import Outlet, make_sink
from lipt_stream.live.targets import parse_target
from lipt_stream.media.encoded import EncodedStream
from lipt_stream.observe.process import rss_mb
from tests.live.sinks.conftest import Broadcast, wait_until

if TYPE_CHECKING:
    Open = Callable[..., Outlet]

REPOSITORY = Path(__file__).parents[3]


def restart_twenty_times(port: int) -> None:
    """Writes how many threads and descriptors are left and how many MiB the later restarts took."""
    Backoff.next = lambda _self, _limit_seconds: 0.01
    broadcast, process = Broadcast(), psutil.Process()
    before = threading.active_count(), process.num_fds()
    sink = Outlet(parse_target(f"rtsp://127.0.0.1:{port}/publish"))
    sink.open(broadcast.streams)
    broadcast.play(sink, until=lambda: sink.status().restarts >= 3)
    rss_before_mb = rss_mb()
    for restarts in range(4, 21):  # each in the time that is allowed
        broadcast.play(sink, until=lambda: sink.status().restarts >= restarts)  # noqa: B023
    grown_mb = rss_mb() - rss_before_mb
    sink.close(30)
    sys.stdout.write(json.dumps([threading.active_count() - before[0], process.num_fds() - before[1], grown_mb]))


def test_twenty_restarts_leave_nothing_behind(port: int) -> None:
    # Apart: in a process that has run a thousand tests, other tests' memory comes and goes.
    call = f"from {__name__} import restart_twenty_times; restart_twenty_times({port})"
    apart = subprocess.run([sys.executable, "-c", call], cwd=REPOSITORY, capture_output=True, text=True)
    assert apart.returncode == 0, apart.stderr
    threads, descriptors, grown_mb = json.loads(apart.stdout)
    assert (threads, descriptors) == (0, 0)
    assert grown_mb < 4


def muxing_process() -> psutil.Process:
    return next(child for child in psutil.Process().children() if "mux_child" in " ".join(child.cmdline()))


def test_a_slow_process_is_given_what_can_be_decoded(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.ts"), queue_seconds=3)
    offered = broadcast.play(sink, until=lambda: sink.status().state == "ok")
    dropped_before = sink.status().dropped
    slow = muxing_process()
    slow.send_signal(signal.SIGSTOP)
    offered += broadcast.play(sink, until=lambda: sink.status().dropped > dropped_before, speed=20)
    slow.send_signal(signal.SIGCONT)
    sink.close(20)
    status = sink.status()
    assert (status.state, status.restarts) == ("closed", 0)
    assert status.delivered + status.dropped == offered
    with av.open(str(tmp_path / "film.ts")) as film:
        assert sum(not picture.is_corrupt for picture in film.decode(video=0)) == status.delivered


def test_a_sink_that_begins_anew_asks_for_a_keyframe(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    """The next would come in a minute with `--keyframe 60`."""
    sink = sink_to(str(tmp_path / "film.ts"))
    assert not sink.wants_keyframe, "nobody is there yet who would get it"
    pictures = [packet for packet in broadcast.packets(2) if packet.kind == "video"]
    keyframes = [packet for packet in pictures if packet.is_keyframe]
    wait_until(lambda: sink.wants_keyframe, "a wish for a keyframe")
    sink.offer(keyframes[0])
    assert not sink.wants_keyframe
    wait_until(lambda: sink.status().delivered, "a picture delivered")
    muxing_process().kill()
    others = (packet for packet in pictures if not packet.is_keyframe)
    wait_until(lambda: sink.status().restarts or sink.offer(next(others)), "a restart")
    wait_until(lambda: sink.wants_keyframe, "a wish for a keyframe")
    sink.offer(keyframes[1])
    wait_until(lambda: sink.status().state == "ok", "a picture delivered again")


def test_a_stopped_process_is_replaced(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.ts"), stall_seconds=0.5)
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    stopped = muxing_process()
    stopped.send_signal(signal.SIGSTOP)
    broadcast.play(sink, until=lambda: sink.status().restarts, speed=20)
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    assert not stopped.is_running()


def test_a_process_that_cannot_be_killed_is_no_sink_that_is_well(
    broadcast: Broadcast, tmp_path: Path, sink_to: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that writes to a disk of the network whose server is gone: the kernel lets no signal through to it."""
    sink = sink_to(str(tmp_path / "film.ts"), stall_seconds=0.5)
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    hanging = muxing_process()
    with monkeypatch.context() as patch:
        patch.setattr(MuxProcess, "kill", lambda _process: None)
        hanging.send_signal(signal.SIGSTOP)
        broadcast.play(sink, until=lambda: sink.status().state != "ok", speed=20)
        assert (sink.status().state, sink.status().detail) == ("retrying", "It took nothing for 0.5 s")
        sink.close(1)
        assert (sink.status().state, sink.status().detail) == ("failed", "It took nothing for 0.5 s")
    hanging.kill()
    sink.close(5)


def test_a_sink_that_hangs_takes_nothing_from_another(
    broadcast: Broadcast, black_hole: int, tmp_path: Path, sink_to: Open
) -> None:
    hanging = sink_to(f"rtmp://127.0.0.1:{black_hole}/live/a")
    file = sink_to(str(tmp_path / "film.mkv"))
    offered = broadcast.play(hanging, file, until=lambda: file.status().delivered >= 100, speed=5)
    file.close(20)
    assert file.status().delivered + file.status().dropped == offered
    assert file.status().dropped < 15  # what came before its first keyframe
    assert hanging.status().state == "starting"


def test_every_picture_is_accounted_for(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"), queue_seconds=0.7)
    offered = broadcast.play(sink, until=lambda: sink.status().delivered >= 60, speed=20)
    sink.close(20)
    status = sink.status()
    assert status.dropped > 0  # the process took longer to begin than the queue is long
    assert status.delivered + status.dropped == offered
    with av.open(str(tmp_path / "film.mkv")) as film:
        assert sum(1 for _ in film.decode(video=0)) == status.delivered
    sink.offer(broadcast.pictures[0])
    sink.close(20)
    assert sink.status() == dataclasses.replace(status, dropped=status.dropped + 1)


def test_what_a_killed_process_held_is_counted(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    sink = sink_to(str(tmp_path / "film.mkv"), queue_seconds=20)
    offered = 0
    for killed in range(2):
        offered += broadcast.play(sink, until=lambda: sink.status().state == "ok", speed=3)
        muxing_process().kill()
        offered += broadcast.play(sink, until=lambda: sink.status().restarts > killed, speed=3)  # noqa: B023
    offered += broadcast.play(sink, until=lambda: sink.status().state == "ok", speed=3)
    sink.close(20)
    assert sink.status().delivered + sink.status().dropped == offered


def test_sound_that_does_not_fit_is_left_out_and_said(broadcast: Broadcast, tmp_path: Path) -> None:
    picture, _ = broadcast.streams
    opus = EncodedStream(kind="audio", codec="opus", time_base=picture.time_base, sample_rate=48_000, channels=2)
    sink = make_sink(parse_target(f"hls:{tmp_path / 'hls'}"))
    sink.open((picture, opus))
    broadcast.play(sink, until=lambda: sink.status().state == "ok")
    assert sink.status().detail == "without sound: hls takes no opus"
    sink.close(5)


def test_null_counts(broadcast: Broadcast) -> None:
    sink = make_sink(parse_target("null"))
    sink.open(broadcast.streams)
    assert sink.status().state == "starting"
    offered = broadcast.play(sink, until=lambda: sink.status().delivered >= 10, speed=100)
    sink.close(0)
    assert (sink.status().state, sink.status().delivered) == ("closed", offered)
