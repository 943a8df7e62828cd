"""The server over real sockets: ports, viewers that hang, an end that takes no time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from clock_session import ClockSession
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.web import app as app_module
from lipt_stream.web import server as server_module
from lipt_stream.web.preview import Preview
from lipt_stream.web.server import USUAL_PORT, Server

TOKEN = "a-token-for-tests-that-is-long-enough"


def watch(server: Server, **how: Any) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{server.port}/watch",
        origin=f"http://127.0.0.1:{server.port}",  # type: ignore[arg-type]
        additional_headers={"Authorization": f"Bearer {TOKEN}"},
        proxy=None,
        **how,
    )


def read_to_the_end(viewer: ClientConnection) -> None:
    """Raises ConnectionClosed."""
    while True:
        viewer.recv(timeout=30)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def idle() -> Generator[tuple[Preview, ClockSession, Server]]:
    """A server whose session stands still: a test offers what it likes."""
    preview = Preview()
    session = ClockSession(preview)
    server = Server(session, preview, port=0, token=TOKEN)
    server.start()
    yield preview, session, server
    preview.close(1)
    server.stop(30)


def test_the_address_holds_the_token_and_opens_the_page(idle: tuple[Preview, ClockSession, Server]) -> None:
    server = idle[2]
    assert server.url == f"http://127.0.0.1:{server.port}/?token={TOKEN}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    with opener.open(server.url, timeout=10) as answer:
        assert answer.url == f"http://127.0.0.1:{server.port}/"
        assert b"<title>lipt-stream</title>" in answer.read()


@pytest.mark.parametrize("is_debugged", [False, True])
def test_what_a_request_failed_by_is_shown_where_it_is_asked_for(
    is_debugged: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(paused: bool) -> None:
        raise ZeroDivisionError(paused)

    monkeypatch.setenv("LIPT_DEBUG", "1" if is_debugged else "")
    preview = Preview()
    session = ClockSession(preview)
    monkeypatch.setattr(session, "pause", fail)
    server = Server(session, preview, port=0, token=TOKEN)
    server.start()
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/pause", data=b'{"paused": true}')
    request.add_header("authorization", f"Bearer {TOKEN}")
    request.add_header("content-type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused, opener.open(request, timeout=30):
        pass
    with refused.value as answer:
        assert "report it with the output of `lipt-stream --debug live ...`" in json.loads(answer.read())["error"]
    server.stop(30)
    assert ("ZeroDivisionError" in capfd.readouterr().err) == is_debugged


def test_a_port_that_is_taken_is_said_in_one_line(idle: tuple[Preview, ClockSession, Server]) -> None:
    preview, session, server = idle
    with pytest.raises(OutputError, match=rf"^Port {server.port} of 127\.0\.0\.1 is taken\. Give another one"):
        Server(session, preview, port=server.port, token=TOKEN)


def test_an_address_of_another_machine_is_refused(idle: tuple[Preview, ClockSession, Server]) -> None:
    preview, session, _ = idle
    for host in ("203.0.113.7", "no.such.name.invalid", "192.168..20"):
        with pytest.raises(OutputError, match="is no address of this machine"):
            Server(session, preview, host=host, port=0, token=TOKEN)


def test_a_port_that_there_is_not_is_refused(idle: tuple[Preview, ClockSession, Server]) -> None:
    preview, session, _ = idle
    for port in (-1, 65536, 70000):
        with pytest.raises(SettingsError, match=f"There is no port {port}. Give one from 1 to 65535"):
            Server(session, preview, port=port, token=TOKEN)


def test_without_a_port_the_usual_one_or_any_free(idle: tuple[Preview, ClockSession, Server]) -> None:
    preview, session, _ = idle
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            pytest.skip(f"port {USUAL_PORT} is in use on this machine")
        taken.listen()
        other = Server(session, preview, token=TOKEN)
        assert other.port not in (0, USUAL_PORT)
        other.stop()


def test_a_viewer_is_greeted_and_told_the_figures_every_second(serving: Callable[..., Any]) -> None:
    with serving() as (_, server), watch(server) as viewer:
        kinds: list[str] = []
        while kinds.count("stats") < 2 or "picture" not in kinds:
            message = viewer.recv(timeout=30)
            kinds.append("bytes" if isinstance(message, bytes) else json.loads(message)["type"])
        assert kinds[0] == "session"
        assert kinds[kinds.index("picture") + 1] == "bytes"
        with watch(server) as late:
            history = json.loads(late.recv(timeout=30))["history"]
            assert len(history) >= 2
            assert history[0].keys() == {"latency_p50_ms", "latency_p95_ms", "fps_out", "fps_target"}


def test_models_that_come_later_are_told(idle: tuple[Preview, ClockSession, Server]) -> None:
    _, session, server = idle
    known, session.models = session.models, ["auto"]
    with watch(server) as viewer:
        for models in (["auto"], list(known)):
            session.models = models
            told: Any = None
            while told != models:
                told = json.loads(viewer.recv(timeout=30)).get("models")


NOISE = os.urandom(200_000).replace(b"\0", b"\1")


def heavy_packet(number: int, is_keyframe: bool) -> EncodedPacket:
    """200 kB that no decoder need understand, so that a viewer that hangs is noticed within a test."""
    data = b"\0\0\0\1" + (b"\x65" if is_keyframe else b"\x41") + NOISE
    pts = number * 3000
    return EncodedPacket(kind="video", data=data, pts=pts, dts=pts, duration=3000, is_keyframe=is_keyframe)


def read_all(viewer: ClientConnection, pictures: list[int]) -> None:
    """Notes the size of every picture until the connection is closed."""
    try:
        while True:
            message = viewer.recv()
            if len(message) > len(NOISE):
                pictures.append(len(message))
    except ConnectionClosed:
        return


def test_a_viewer_that_hangs_costs_nobody_anything(
    idle: tuple[Preview, ClockSession, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    preview, _, server = idle
    monkeypatch.setattr(app_module, "_SECONDS_UNTIL_STALLED", 0.5)
    received: list[int] = []
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    narrow.connect(("127.0.0.1", server.port))
    with watch(server) as reading, watch(server, max_queue=1, sock=narrow, close_timeout=0.1):
        until(lambda: len(preview.viewers) == 2)
        thread = threading.Thread(target=read_all, args=(reading, received))
        thread.start()
        hanging = next(viewer for viewer in preview.viewers if viewer is not preview.viewers[0])
        number = 0
        while len(preview.viewers) == 2:
            preview.offer(heavy_packet(number, is_keyframe=number % 30 == 0))
            number += 1
            until(lambda: len(received) >= number)  # noqa: B023
            time.sleep(0.005)
        assert hanging.dropped > 0
        assert len(received) == number, "the other one missed nothing"
        assert preview.status().dropped == hanging.dropped
        assert preview.wanted
        preview.close(1)
        thread.join(10)
        assert not thread.is_alive()


def test_what_no_page_would_say_ends_the_connection(idle: tuple[Preview, ClockSession, Server]) -> None:
    preview, _, server = idle
    for said in ("[1]", "no json", "{}", "[" * 1000, json.dumps({"sound": True, "more": "x" * 2000}), b"\0"):
        with watch(server) as viewer:
            viewer.send(said)
            with pytest.raises(ConnectionClosed):
                read_to_the_end(viewer)
    until(lambda: preview.viewers == ())


def test_there_is_a_most_of_viewers(
    idle: tuple[Preview, ClockSession, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "_MOST_VIEWERS", 1)
    server = idle[2]
    with watch(server) as first:
        first.recv(timeout=30)
        with watch(server) as second, pytest.raises(ConnectionClosed, match="1 are watching already"):
            second.recv(timeout=30)


def test_the_end_is_told_and_nothing_is_left(serving: Callable[..., Any]) -> None:
    with ExitStack() as viewers:
        with serving() as (_, server):
            viewer = viewers.enter_context(watch(server))
            viewer.recv(timeout=30)
        server.stop()
        with pytest.raises(ConnectionClosed, match="The session has ended"):
            read_to_the_end(viewer)
    assert not [thread for thread in threading.enumerate() if thread.name in ("web", "clock session")]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


def test_whoever_connects_and_asks_nothing_is_put_out(
    idle: tuple[Preview, ClockSession, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no token: so many could keep the camera from its own connection."""
    server = idle[2]
    with watch(server) as viewer, ExitStack() as silent:
        monkeypatch.setattr(server_module, "_SILENCE_SECONDS", 0.2)  # the viewer itself has asked by now
        strangers = [silent.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(20)]
        strangers[0].sendall(b"GET / HTTP/1.1\r\n")  # and never its end
        for stranger in strangers:
            stranger.settimeout(30)
            with suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
        viewer.recv(timeout=30)


def test_many_silent_ones_lock_nobody_out(idle: tuple[Preview, ClockSession, Server]) -> None:
    server = idle[2]
    with ExitStack() as silent:
        for _ in range(200):
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        until(lambda: len(server._uvicorn.server_state.connections) < 60)
        with watch(server) as viewer:
            viewer.recv(timeout=30)


def test_a_flood_of_connections_leaves_descriptors_for_the_camera(idle: tuple[Preview, ClockSession, Server]) -> None:
    server, over = idle[2], threading.Event()
    counts: list[int] = []

    def count() -> None:
        while not over.wait(0.002):
            counts.append(len(server._uvicorn.server_state.connections))

    counter = threading.Thread(target=count)
    counter.start()
    with ExitStack() as silent:
        for _ in range(400):
            silent.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        until(lambda: len(server._uvicorn.server_state.connections) < 60)
    over.set()
    counter.join()
    assert max(counts) < 150  # 48, and as many as are accepted at once


def test_nonsense_fills_no_log() -> None:
    """Python writes the warnings of loggers without a handler to standard error: one each, as fast as they come."""
    done = subprocess.run([sys.executable, "-c", NONSENSE], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("HTTP/1.1 400\n", "")


NONSENSE = """
import socket
from pathlib import Path
from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.media.live_address import live_address
from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server
session = LiveSession(live_address("test:64x64@10"), [], LiveSpec(model="lanczos", runtime="torch"))
server = Server(session, Preview(), port=0, token="a-token-for-tests-that-is-long-enough")
server.start()
with socket.create_connection(("127.0.0.1", server.port)) as stranger:
    stranger.sendall(b"nonsense\\r\\n\\r\\n")
    stranger.settimeout(30)
    print(stranger.recv(100).decode()[:12])
server.stop()
"""
