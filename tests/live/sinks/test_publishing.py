"""Live streams published to servers that no one here wrote, and to servers that do not answer."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import psutil
import pytest

from lipt_stream.media.live import LivePicture
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import open_live

if TYPE_CHECKING:
    from lipt_stream.live.outlet import Outlet
    from tests.live.sinks.conftest import Broadcast, Nginx, RtspServer

    Begin = Callable[..., RtspServer]
    Open = Callable[..., Outlet]


def test_rtsp_server_decodes_what_is_published(
    broadcast: Broadcast, rtsp_server: Begin, port: int, sink_to: Open
) -> None:
    server = rtsp_server(port, "--auth", "me:secret")
    sink = sink_to(f"rtsp://me:secret@127.0.0.1:{port}/publish")
    offered = broadcast.play(sink, until=lambda: server.frames >= 45)
    status = sink.status()
    assert status.state == "ok"
    assert status.restarts == 0
    assert server.frames <= status.delivered <= offered - status.dropped
    assert status.detail == "without sound: the server refuses it"
    assert "secret" not in repr(status)


def test_wrong_password_is_said_and_never_shown(
    broadcast: Broadcast, rtsp_server: Begin, port: int, sink_to: Open
) -> None:
    rtsp_server(port, "--auth", "me:secret")
    sink = sink_to(f"rtsp://me:wrongword@127.0.0.1:{port}/publish")
    broadcast.play(sink, until=lambda: sink.status().restarts)
    assert sink.status().state == "retrying"
    assert "401" in sink.status().detail
    assert "wrongword" not in repr(sink.status())


def test_the_password_is_in_no_process_list(black_hole: int, sink_to: Open) -> None:
    sink = sink_to(f"rtsp://me:hushhush@127.0.0.1:{black_hole}/publish")
    deadline = time.monotonic() + 60
    while not (found := [one for one in psutil.Process().children() if "mux_child" in " ".join(one.cmdline())]):
        assert time.monotonic() < deadline
    child = found[0]
    assert "hushhush" not in " ".join(child.cmdline())
    assert "hushhush" not in repr(child.environ())
    sink.close(1)


def test_a_server_that_was_killed_is_found_again(
    broadcast: Broadcast, rtsp_server: Begin, port: int, sink_to: Open
) -> None:
    first = rtsp_server(port)
    sink = sink_to(f"rtsp://127.0.0.1:{port}/publish")
    broadcast.play(sink, until=lambda: first.frames > 0)
    first.kill()
    broadcast.play(sink, until=lambda: sink.status().state == "retrying")
    second = rtsp_server(port)
    broadcast.play(sink, until=lambda: second.frames > 0)
    assert sink.status().state == "ok"
    assert sink.status().restarts >= 1


def test_a_refused_connection_is_tried_again(broadcast: Broadcast, port: int, sink_to: Open) -> None:
    sink = sink_to(f"rtmp://127.0.0.1:{port}/live/a")
    broadcast.play(sink, until=lambda: sink.status().restarts)
    status = sink.status()
    assert status.state == "retrying"
    assert status.delivered == 0
    assert status.detail == "Connection refused"


@pytest.mark.parametrize("text", ["rtsp://127.0.0.1:{}/publish", "rtmp://127.0.0.1:{}/live/a"])
def test_a_black_hole_slows_no_one(broadcast: Broadcast, black_hole: int, sink_to: Open, text: str) -> None:
    sink = sink_to(text.format(black_hole), stall_seconds=0.5, queue_seconds=0.5)
    offered = 0
    for packet in broadcast.packets(seconds=600):  # all at once
        sink.offer(packet)
        offered += packet.kind == "video"
    offered += broadcast.play(sink, until=lambda: sink.status().restarts)
    assert sink.status().detail == "It took nothing for 0.5 s"
    sink.close(2)
    status = sink.status()
    assert (status.state, status.delivered, status.dropped) == ("failed", 0, offered)


def test_rtmp_server_writes_what_is_published(broadcast: Broadcast, nginx: Nginx, sink_to: Open) -> None:
    sink = sink_to(f"rtmp://127.0.0.1:{nginx.rtmp_port}/live/film")
    playlist = nginx.hls / "film.m3u8"
    broadcast.play(sink, until=playlist.exists)
    assert sink.status().state == "ok"
    with av.open(str(playlist)) as seen:
        assert next(seen.decode(video=0)).width == 320
        assert seen.streams.audio[0].codec_context.name == "aac"


def test_a_name_that_another_publishes_under_is_said(broadcast: Broadcast, nginx: Nginx, sink_to: Open) -> None:
    url = f"rtmp://127.0.0.1:{nginx.rtmp_port}/live/film"
    first = sink_to(url)
    broadcast.play(first, until=lambda: first.status().delivered > 10)
    second = sink_to(url)
    broadcast.play(first, second, until=lambda: "published under this name" in second.status().detail)
    assert (first.status().state, second.status().state) == ("ok", "retrying")


def test_what_nginx_serves_as_hls_is_a_source(broadcast: Broadcast, nginx: Nginx, sink_to: Open) -> None:
    """Published by RTMP, cut to HLS by nginx, read over HTTP while it grows."""
    sink = sink_to(f"rtmp://127.0.0.1:{nginx.rtmp_port}/live/film")
    broadcast.play(sink, until=(nginx.hls / "film.m3u8").exists)
    seen: list[LivePicture] = []

    def receive() -> None:
        address = live_address(f"http://127.0.0.1:{nginx.http_port}/film.m3u8")
        with closing(
            open_live(address, open_timeout_seconds=20, read_timeout_seconds=20, cancelled=threading.Event())
        ) as source:
            pictures = (item for item in source if isinstance(item, LivePicture))
            seen.extend(islice(pictures, 90))

    receiver = threading.Thread(target=receive)
    receiver.start()
    broadcast.play(sink, until=lambda: not receiver.is_alive())
    times = [float(picture.time_seconds) for picture in seen]
    assert len(times) == 90
    assert all(abs(after - before - 1 / 30) < 0.002 for before, after in pairwise(times))


def test_hls_folder_plays_stays_small_and_goes_on(broadcast: Broadcast, tmp_path: Path, sink_to: Open) -> None:
    folder = tmp_path / "50%d off"
    folder.mkdir()
    own = [folder / name for name in ("live-concert.ts", "live-set.tsv", "live-12.ts", "live-0000012.ts.bak")]
    orphans = [folder / name for name in ("live-000700.ts", "live-000701.ts.tmp")]
    for path in (*own, *orphans):
        path.touch()
    for pictures in (600, 150):
        sink = sink_to(f"hls:{folder}", queue_seconds=60)  # of which ten are over in one: nothing is dropped amid them
        offered = broadcast.play(sink, until=lambda: sink.status().delivered >= pictures, speed=10)  # noqa: B023
        sink.close(20)
        status = sink.status()
        assert (status.state, status.delivered + status.dropped) == ("closed", offered)
    playlist = (folder / "index.m3u8").read_text()
    assert "#EXT-X-DISCONTINUITY" in playlist
    assert playlist.count(".ts") == 6
    assert [path for path in (*own, *orphans) if path.exists()] == own
    assert len(list(folder.iterdir())) <= len(own) + 1 + 6 + 2
    with av.open(str(folder / "index.m3u8")) as seen:
        assert seen.streams.video[0].codec_context.width == 320
        assert seen.streams.audio[0].codec_context.name == "aac"
        seconds = sum(float(length) for length in re.findall(r"#EXTINF:([\d.]+)", playlist))
        assert sum(1 for _ in seen.decode(video=0)) == round(30 * seconds)


def test_udp_is_received(broadcast: Broadcast, port: int, sink_to: Open) -> None:
    sink = sink_to(f"udp://127.0.0.1:{port}")
    seen: list[int] = []

    def receive() -> None:
        with av.open(f"udp://127.0.0.1:{port}?timeout=20000000", format="mpegts") as stream:
            for picture in stream.decode(video=0):
                seen.append(picture.width)
                if len(seen) == 20:
                    return

    receiver = threading.Thread(target=receive)
    receiver.start()
    broadcast.play(sink, until=lambda: not receiver.is_alive())
    receiver.join()
    assert seen == [320] * 20
