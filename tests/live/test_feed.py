"""Feed with real sources: they flow, stand still, end, fail and are not there."""

from __future__ import annotations

import functools
import http.server
import socket
import threading
import time
import traceback
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipt_stream.live.feed import Feed
from lipt_stream.media.test_card import TestCard
from tests.live.watcher import PATIENCE_SECONDS, Watcher


def test_the_test_card_flows_until_it_is_stopped(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    running = feed("test:320x180@50")
    watcher.wait(lambda: len(watcher.pictures) >= 30 and len(watcher.sounds) >= 10)
    status = running.status()
    assert (status.state, status.shown, status.faults, status.last_fault) == ("live", "test:320x180@50", 0, "")
    assert status.video_format is not None
    assert status.audio is not None
    assert status.seconds_in_state > 0
    assert watcher.pictures[1].pts - watcher.pictures[0].pts == pytest.approx(1800, abs=900)
    running.stop(5)
    count = len(watcher.pictures)
    assert [s.state for s in watcher.states] == ["connecting", "live", "ended"]
    time.sleep(0.1)
    assert len(watcher.pictures) == count, "no callback after stop"
    running.stop(5)


def test_a_film_ends_the_feed(clip: Path, tmp_path: Path, watcher: Watcher, feed: Callable[..., Feed]) -> None:
    short = tmp_path / "short.mkv"
    with av.open(str(clip)) as source, av.open(str(short), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.dts * packet.time_base < 0.5:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    running = feed(str(short))
    watcher.wait_for_state("ended")
    assert running.status().faults == 0
    with av.open(str(short)) as source:
        assert len(watcher.pictures) == sum(1 for _ in source.decode(video=0))
    assert watcher.sounds


def test_a_film_over_http_may_stand_still_and_is_shown_once(
    tmp_path: Path, watcher: Watcher, feed: Callable[..., Feed]
) -> None:
    with av.open(str(tmp_path / "slides.mkv"), "w") as target:
        stream = target.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for pts in (0, 1, 75, 76):  # the second slide stands for 3 s
            picture = av.VideoFrame(96, 64, "yuvj420p")
            picture.pts, picture.time_base = pts, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        feed(f"http://127.0.0.1:{server.server_address[1]}/slides.mkv", stall_seconds=2)
        status = watcher.wait_for_state("ended")
    finally:
        server.shutdown()
        server.server_close()
    assert status.faults == 0
    assert len(watcher.pictures) == 4


def test_sound_goes_on_while_a_slide_stands(tmp_path: Path, watcher: Watcher, feed: Callable[..., Feed]) -> None:
    film = tmp_path / "slides.mkv"
    with av.open(str(film), "w") as target:
        picture = target.add_stream("mjpeg", 10)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuvj420p"
        sound = target.add_stream("pcm_s16le", 8_000, layout="mono")
        for tenth in range(120):
            if tenth in (0, 110):
                slide = av.VideoFrame(96, 64, "yuvj420p")
                slide.pts, slide.time_base = tenth, Fraction(1, 10)
                target.mux(picture.encode(slide))
            tone = av.AudioFrame("s16", "mono", 800)
            tone.sample_rate, tone.pts, tone.time_base = 8_000, 800 * tenth, Fraction(1, 8_000)
            tone.planes[0].update(bytes(tone.planes[0].buffer_size))
            target.mux(sound.encode(tone))
        target.mux(picture.encode(None))
    running = feed(str(film))
    watcher.wait_for_state("ended")
    assert running.status().sounds_dropped == 0
    began = watcher.sounds[0].pts
    assert [each.pts - began for each in watcher.sounds] == pytest.approx([800 * n for n in range(120)], abs=8)
    assert (watcher.pictures[1].pts - watcher.pictures[0].pts) / 90_000 == pytest.approx(11, abs=0.1)


@pytest.mark.parametrize(
    "address",
    ["not/there.mp4", "webcam:63", "http://u:s3cret@no-such-host.invalid/x", "rtsp://u:s3cret@192.168..20/s"],
)
def test_what_is_wrong_from_the_start_ends_at_once(address: str, watcher: Watcher, feed: Callable[..., Feed]) -> None:
    running = feed(address)
    status = watcher.wait_for_state("failed")
    assert [s.state for s in watcher.states] == ["connecting", "failed"]
    assert status.last_fault.startswith("Cannot read")
    assert "s3cret" not in repr(running.status())


def test_one_that_is_off_is_asked_again_and_again(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    pauses: list[float] = []
    feed("rtsp://u:s3cret@127.0.0.1:1/x", retries=6, pause=pauses.append)
    status = watcher.wait_for_state("failed")
    assert [s.state for s in watcher.states] == ["connecting"] + ["gone"] * 6 + ["failed"]
    assert (status.faults, status.reconnects) == (7, 0)
    assert "nothing listens" in status.last_fault
    assert "s3cret" not in status.last_fault
    assert len(pauses) == 6
    assert all(0.5 <= pause <= 2 for pause in pauses), "nobody is burdened by being asked"
    assert max(pauses) >= 1


def test_a_stop_does_not_wait_for_one_that_says_nothing(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        running = feed(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x")
        conversation, _ = silent.accept()
        running.stop(1)
        watcher.wait_for_state("ended")
        conversation.close()
    assert [s.state for s in watcher.states] == ["connecting", "ended"]


def test_a_defect_is_not_silent(feed: Callable[..., Feed], watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: raised.append(hook.exc_value))

    def broken(*_: object, **__: object) -> TestCard:
        try:
            raise OSError("rtsp://u:s3cret@cam: as FFmpeg shows it")
        except OSError:
            raise ZeroDivisionError("not foreseen")  # noqa: B904  a defect in what deals with the error

    feed("test", open_source=broken)
    assert "defect" in watcher.wait_for_state("failed").last_fault
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not raised and time.monotonic() < deadline:
        time.sleep(0.01)
    assert isinstance(raised[0], ZeroDivisionError)
    assert "s3cret" not in "".join(traceback.format_exception(raised[0]))
