"""A live stream to feed sinks with, the servers they publish to, and the rule that no process is left behind."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from lipt_stream.frame import VideoFormat
from lipt_stream.live.outlet import Outlet
from lipt_stream.live.sink import LiveSink
from lipt_stream.live.targets import parse_target
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.live_sound import LiveSound
from tests.nginx import free_port, nginx_running

RATE = 30
SYSTEM_PYTHON = Path("/usr/bin/python3")
LIMIT_SECONDS = 100  # generous: the machine may be busy


def wait_until(condition: Callable[[], object], what: str, limit_seconds: float = LIMIT_SECONDS) -> None:
    end = time.monotonic() + limit_seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.05)


class Broadcast:
    """Ten seconds of moving pictures at 320x180 and a tone, again and again, at their own speed or all at once."""

    def __init__(self) -> None:
        encoder = LiveEncoder(
            VideoFormat(width=320, height=180, frame_rate=Fraction(RATE)),
            encoder="libx264",
            keyframe_seconds=0.5,
            is_baseline=True,
        )
        planes = VideoFormat(width=320, height=180).new_planes()
        self.pictures: list[EncodedPacket] = []
        for number in range(10 * RATE):
            planes[0][:] = (np.arange(320) * 3 + number * 5) % 220 + 16
            self.pictures += encoder.encode(planes, number * 90_000 // RATE, 90_000 // RATE)
        telephone = EncodedStream(
            kind="audio", codec="pcm_mulaw", time_base=Fraction(1, 8_000), sample_rate=8_000, channels=1
        )
        sound = LiveSound(telephone)
        self.sounds: list[EncodedPacket] = []
        for start in range(0, 80_000, 160):
            data = bytes(128 + (start + n) * 7 % 120 for n in range(160))
            packet = EncodedPacket(kind="audio", data=data, pts=start, dts=start, duration=160, is_keyframe=True)
            self.sounds += sound.convert(packet)
        self.streams = (encoder.stream, sound.stream)
        self._time_bases = {stream.kind: stream.time_base for stream in self.streams}
        self._on_air = self.packets()

    def packets(self, seconds: float | None = None) -> Iterator[EncodedPacket]:
        """Sound and pictures in the order of their times, for ever or for so many seconds of them."""
        once = sorted([*self.pictures, *self.sounds], key=self._time)
        lap = 0
        while True:
            for packet in once:
                ticks = round(lap * 10 / self._time_bases[packet.kind])
                moved = dataclasses.replace(packet, pts=packet.pts + ticks, dts=packet.dts + ticks)
                if seconds is not None and self._time(moved) >= seconds:
                    return
                yield moved
            lap += 1

    def _time(self, packet: EncodedPacket) -> float:
        return float(packet.dts * self._time_bases[packet.kind])

    def play(self, *sinks: LiveSink, until: Callable[[], object], speed: float = 1) -> int:
        """Feeds the sinks at the stream's speed, or a multiple, until something is so. Returns how many pictures.

        It goes on where the last call stopped, so times always increase.
        """
        began, first, pictures = time.monotonic(), 0.0, 0
        for packet in self._on_air:
            first = first or self._time(packet)
            time.sleep(max(0.0, began + (self._time(packet) - first) / speed - time.monotonic()))
            assert time.monotonic() < began + LIMIT_SECONDS, [sink.status() for sink in sinks]
            for sink in sinks:
                sink.offer(packet)
            pictures += packet.kind == "video"
            if packet.kind == "video" and until():
                break
        return pictures


@pytest.fixture(scope="session")
def broadcast() -> Broadcast:
    return Broadcast()


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    left = set(psutil.Process().children(recursive=True)) - before
    assert not left, f"left behind: {left}"


@pytest.fixture
def sink_to(broadcast: Broadcast) -> Iterator[Callable[..., Outlet]]:
    """Opens a sink to what `--to` would name, with changes to its Target; all are closed after the test."""
    sinks: list[Outlet] = []

    def open_sink(text: str, **changes: float) -> Outlet:
        sink = Outlet(dataclasses.replace(parse_target(text, changes.get("segment_seconds", 0)), **changes))
        sink.open(broadcast.streams)
        sinks.append(sink)
        return sink

    yield open_sink
    for sink in sinks:
        sink.close(5)


@pytest.fixture
def port() -> int:
    """One on which no one listens."""
    return free_port()


class RtspServer:
    """GStreamer's, which counts the pictures that it could decode of what is published to it."""

    def __init__(self, script: Path, port: int, *options: str) -> None:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, script, "--port", str(port), *options], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.frames = 0
        self.is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.is_ready.wait(LIMIT_SECONDS)

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("READY"):
                self.is_ready.set()
            else:
                self.frames = json.loads(line)["published_frames"]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout
        self._process.stdout.close()


@pytest.fixture(scope="session")
def rtsp_script(shared: Path) -> Path:
    script = shared / "tools" / "rtsp_server.py"
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not script.is_file():
        pytest.skip(f"no {script.name} among the shared tools")
    if not SYSTEM_PYTHON.is_file() or subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True).returncode:
        pytest.skip("GStreamer's RTSP server is not installed (gir1.2-gst-rtsp-server-1.0)")
    return script


@pytest.fixture
def rtsp_server(rtsp_script: Path) -> Iterator[Callable[..., RtspServer]]:
    """Begins a server on a port; all are gone after the test."""
    servers: list[RtspServer] = []

    def begin(port: int, *options: str) -> RtspServer:
        servers.append(RtspServer(rtsp_script, port, *options))
        return servers[-1]

    yield begin
    for server in servers:
        server.kill()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """The port of a server that takes every connection and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@dataclasses.dataclass(frozen=True)
class Nginx:
    rtmp_port: int
    http_port: int
    hls: Path


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    """nginx with its RTMP module: what is published to /live/NAME is written as HLS, and served."""
    server = Nginx(free_port(), free_port(), tmp_path / "nginx-hls")
    server.hls.mkdir()
    rtmp = (
        f"server {{ listen 127.0.0.1:{server.rtmp_port}; "
        f"application live {{ live on; hls on; hls_path {server.hls}; hls_fragment 1s; }} }}"
    )
    http = f"server {{ listen 127.0.0.1:{server.http_port}; root {server.hls}; }}"
    with nginx_running(tmp_path, server.rtmp_port, http=http, rtmp=rtmp):
        yield server
