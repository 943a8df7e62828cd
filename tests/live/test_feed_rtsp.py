"""Feed against an RTSP server that no one here wrote: GStreamer's. It is killed, stopped and restarted.

`LIPT_RTSP_SERVER` names the script of the server; without it, the one beside the shared test data.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from lipt_stream.live.feed import Feed, FeedStatus
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.live import SessionPicture
from lipt_stream.media.live_address import live_address

SCRIPT = Path(
    os.environ.get("LIPT_RTSP_SERVER") or Path(__file__).resolve().parents[3] / "shared" / "tools" / "rtsp_server.py"
)
PATIENCE_SECONDS = 100


class Server:
    """The server's process. Started again it listens on the same port."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self.port = "0"
        self.start()

    def start(self) -> None:
        command = ["/usr/bin/python3", str(SCRIPT), "--size", "160x96", "--port", self.port, *self._options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline().split()
        if ready[:1] != ["READY"]:
            self.kill()
            pytest.skip(f"no GStreamer RTSP server: see the apt line in {SCRIPT}")
        self.port = ready[1]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    if not SCRIPT.is_file():
        pytest.skip(f"no RTSP server at {SCRIPT}")
    servers: list[Server] = []

    def start(*options: str) -> Server:
        servers.append(Server(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


class Run:
    """A feed and what came of it."""

    def __init__(self, address: str, transport: str, **options: float) -> None:
        self.pictures: list[SessionPicture] = []
        self.sounds: list[EncodedPacket] = []
        self.states: list[FeedStatus] = []
        self._changed = threading.Condition()
        self.feed = Feed(
            live_address(address, transport=transport),  # type: ignore[arg-type]
            on_picture=lambda picture: self._note(self.pictures, picture),
            on_sound=lambda packet: self._note(self.sounds, packet),
            on_state=lambda status: self._note(self.states, status),
            **options,  # type: ignore[arg-type]
        )
        self.feed.start()

    def _note(self, notes: list[object], what: object) -> None:
        with self._changed:
            notes.append(what)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SECONDS), self.states

    def flows(self) -> None:
        """Waits for ten more pictures and their sound."""
        pictures, sounds = len(self.pictures) + 10, len(self.sounds) + 5
        self.wait(lambda: len(self.pictures) >= pictures and len(self.sounds) >= sounds)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_is_killed_restarted_hung_and_woken(serve: Callable[..., Server], transport: str) -> None:
    server = serve("--auth", "admin:s3/cr@t")
    run = Run(f"rtsp://admin:s3%2Fcr%40t@127.0.0.1:{server.port}/camera", transport, stall_seconds=3)
    run.flows()
    audio = run.feed.status().audio
    assert audio is not None
    assert (audio.codec, len(audio.extradata) > 0) == ("aac", True)

    server.kill()
    run.wait(lambda: run.states[-1].faults >= 2)
    server.start()
    run.flows()
    assert run.feed.status().reconnects == 1

    server.process.send_signal(signal.SIGSTOP)
    faults = run.feed.status().faults
    run.wait(lambda: run.states[-1].faults > faults)
    assert "No picture came" in run.states[-1].last_fault or "answer" in run.states[-1].last_fault
    server.process.send_signal(signal.SIGCONT)
    run.flows()

    run.feed.stop(10)
    status = run.feed.status()
    assert (status.state, status.reconnects) == ("ended", 2)
    assert [s.state for s in run.states if s.state in ("connecting", "live", "ended")] == [
        "connecting",
        *["live"] * 3,
        "ended",
    ]
    assert all(a.pts < b.pts for a, b in pairwise(run.pictures))
    assert all(a.pts < b.pts for a, b in pairwise(run.sounds))
    for secret in ("s3%2Fcr%40t", "s3/cr@t", "admin"):
        assert secret not in repr(run.states)
    assert not [t for t in threading.enumerate() if t.name == "lipt-live-feed"]


@pytest.mark.parametrize(
    ("user", "path", "words"),
    [("admin:wrong@", "camera", "(401)"), ("", "camera", "(401)"), ("admin:right@", "nothing", "(404)")],
)
def test_a_wrong_address_ends_the_feed_with_one_line(
    serve: Callable[..., Server], user: str, path: str, words: str
) -> None:
    server = serve("--auth", "admin:right")
    run = Run(f"rtsp://{user}127.0.0.1:{server.port}/{path}", "tcp")
    run.wait(lambda: run.states[-1].state == "failed")
    assert words in run.states[-1].last_fault
    assert "\n" not in run.states[-1].last_fault
    assert "admin" not in repr(run.states)
    run.feed.stop(5)
