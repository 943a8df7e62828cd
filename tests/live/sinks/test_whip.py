"""WHIP against aiortc, a WebRTC that shares nothing with FFmpeg's."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

aiortc = pytest.importorskip("aiortc")

if TYPE_CHECKING:
    from lipt_stream.live.outlet import Outlet
    from tests.live.sinks.conftest import Broadcast

    Open = Callable[..., Outlet]

LIMIT_SECONDS = 100


class WhipServer:
    """aiortc behind a few lines of HTTP. It counts the pictures that it decodes; `offers` are the requests' headers."""

    def __init__(self) -> None:
        self.frames = 0
        self.offers: list[str] = []
        self.port = 0
        self._peers: list[aiortc.RTCPeerConnection] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()))
        self._thread.start()
        assert self._ready.wait(LIMIT_SECONDS)

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        async with await asyncio.start_server(self._answer, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._ended.wait()
            for peer in self._peers:
                await peer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        answer = b""
        if head.startswith("POST"):
            self.offers.append(head)
            length = int(re.search(r"(?i)content-length: *(\d+)", head)[1])
            answer = (await self._accept((await reader.readexactly(length)).decode())).encode()
        writer.write(
            b"HTTP/1.1 201 Created\r\nContent-Type: application/sdp\r\nConnection: close\r\n"
            b"Location: http://127.0.0.1:%d/it\r\nContent-Length: %d\r\n\r\n%s" % (self.port, len(answer), answer)
        )
        await writer.drain()
        writer.close()

    async def _accept(self, offer: str) -> str:
        peer = aiortc.RTCPeerConnection()
        self._peers.append(peer)
        peer.on("track", lambda track: asyncio.ensure_future(self._count(track)))
        await peer.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return peer.localDescription.sdp

    async def _count(self, track: aiortc.MediaStreamTrack) -> None:
        with contextlib.suppress(aiortc.mediastreams.MediaStreamError):  # how it says that there is no more
            while await track.recv():
                self.frames += 1

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def whip_server() -> Iterator[WhipServer]:
    server = WhipServer()
    yield server
    server.close()


def test_whip_server_decodes_what_is_published(broadcast: Broadcast, whip_server: WhipServer, sink_to: Open) -> None:
    sink = sink_to(f"whip:http://pass%20word@127.0.0.1:{whip_server.port}/studio")
    broadcast.play(sink, until=lambda: whip_server.frames >= 30)
    assert sink.status().detail == "without sound: whip takes no aac"
    sink.close(10)
    assert sink.status().state == "closed"
    assert "Authorization: Bearer pass word" in whip_server.offers[0]
