"""Feed with real sources that fail in every way; where FFmpeg itself is to hang, a source of our own does it."""

from __future__ import annotations

import errno
import functools
import http.server
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from lipt_stream.live.feed import Feed, FeedStatus
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.live import LiveItem, LivePicture, LiveSound, PassedOver, SessionPicture
from lipt_stream.media.live_address import LiveAddress, live_address
from lipt_stream.media.live_errors import live_error
from lipt_stream.media.test_card import TestCard

PATIENCE_SECONDS = 30


class Watcher:
    """Takes a feed's callbacks, and waits for what is to come."""

    def __init__(self) -> None:
        self.pictures: list[SessionPicture] = []
        self.sounds: list[EncodedPacket] = []
        self.states: list[FeedStatus] = []
        self.callers: set[int] = set()
        self._changed = threading.Condition()

    def on_picture(self, picture: SessionPicture) -> None:
        self._note(self.pictures, picture)

    def on_sound(self, packet: EncodedPacket) -> None:
        self._note(self.sounds, packet)

    def on_state(self, status: FeedStatus) -> None:
        self._note(self.states, status)

    def _note(self, notes: list[Any], what: object) -> None:
        with self._changed:
            self.callers.add(threading.get_ident())
            notes.append(what)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SECONDS), self.states

    def wait_for_state(self, state: str, count: int = 1) -> FeedStatus:
        self.wait(lambda: [s.state for s in self.states].count(state) >= count)
        return [s for s in self.states if s.state == state][count - 1]

    def wait_for_more(self, pictures: int) -> None:
        wanted = len(self.pictures) + pictures
        self.wait(lambda: len(self.pictures) >= wanted)

    def check(self) -> None:
        assert all(a.pts < b.pts for a, b in pairwise(self.pictures))
        assert all(a.pts < b.pts for a, b in pairwise(self.sounds))
        assert len(self.callers) <= 1


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def feed(watcher: Watcher) -> Iterator[Callable[..., Feed]]:
    """Starts a feed that the watcher watches, and stops it behind the test."""
    feeds: list[Feed] = []

    def start(address: str | LiveAddress, **options: object) -> Feed:
        feeds.append(
            Feed(
                live_address(address) if isinstance(address, str) else address,
                on_picture=watcher.on_picture,
                on_sound=watcher.on_sound,
                on_state=watcher.on_state,
                **options,  # type: ignore[arg-type]
            )
        )
        feeds[-1].start()
        return feeds[-1]

    yield start
    for each in feeds:
        each.stop(PATIENCE_SECONDS)
    watcher.check()


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


class Hanging:
    """A test card whose connections hang, as inside FFmpeg, after `count` pictures: until `release` is set, and deaf to
    being cancelled. Then each gives the pictures that it still had."""

    def __init__(self, count: int) -> None:
        self.release = threading.Event()
        self.connections = 0
        self._count = count

    def __call__(self, address: LiveAddress, **_: object) -> HangingCard:
        self.connections += 1
        return HangingCard(TestCard(address, cancelled=threading.Event()), self.release, self._count)


class HangingCard:
    def __init__(self, card: TestCard, release: threading.Event, count: int) -> None:
        self._card, self._release, self._count = card, release, count
        self.video_format, self.audio = card.video_format, card.audio
        self.is_finite, self.damaged, self.notes = False, 1, ["a note"]

    def __iter__(self) -> Iterator[LiveItem]:
        shown = 0
        for item in self._card:
            yield item
            shown += isinstance(item, LivePicture)
            if shown == self._count:
                self._release.wait()

    def close(self) -> None:
        self._card.close()


def test_what_hangs_is_let_go_and_few_hang_at_once(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    hanging, before = Hanging(count=3), set(threading.enumerate())
    running = feed("test:64x64@100", stall_seconds=1, pause=lambda _: time.sleep(0.01), open_source=hanging)
    watcher.wait_for_state("gone", 3)
    time.sleep(0.3)
    status = running.status()
    assert (status.state, status.faults, status.hanging, hanging.connections) == ("gone", 3, 3, 3)
    assert "No picture came from test:64x64@100 for 1 s" in status.last_fault
    assert (status.damaged, status.notes) == (3, ("a note",)), "of all three connections, each note once"
    assert len(watcher.pictures) == 9
    hanging.release.set()
    watcher.wait_for_state("live", 4)
    watcher.wait_for_more(20)
    watcher.wait(lambda: not running.status().hanging)
    running.stop(PATIENCE_SECONDS)
    status = running.status()
    assert (status.faults, status.reconnects, status.hanging) == (3, 3, 0)
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize("hangs_at_once", [False, True])
def test_a_camera_that_hangs_is_busy_by_ourselves_and_waited_for(
    hangs_at_once: bool, watcher: Watcher, feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipt_stream.live.feed._CONNECT_SECONDS", 0.2)
    hanging, asked = Hanging(count=3), 0

    def opened(address: LiveAddress, **_: object) -> HangingCard:
        nonlocal asked
        asked += 1
        if asked == 1 and hangs_at_once:
            hanging.release.wait()
        if asked > 1 and not hanging.release.is_set():
            raise live_error(OSError(errno.EBUSY, "busy"), address, is_open=False)
        return hanging(live_address("test:64x64@100"))

    camera = LiveAddress(kind="webcam", shown="webcam:/dev/video0", url="/dev/video0")
    running = feed(camera, stall_seconds=0.1, pause=lambda _: time.sleep(0.01), open_source=opened)
    watcher.wait(lambda: "hangs" in running.status().last_fault)
    assert running.status().state == "gone"
    assert not any("another program" in status.last_fault for status in watcher.states)
    hanging.release.set()
    watcher.wait_for_more(20)


def test_sound_alone_is_a_fault(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    class SoundOnly(HangingCard):
        def __iter__(self) -> Iterator[LiveItem]:
            return (item for n, item in enumerate(self._card) if n == 0 or isinstance(item, LiveSound))

    def opened(address: LiveAddress, *, cancelled: threading.Event, **_: object) -> SoundOnly:
        return SoundOnly(TestCard(address, cancelled=cancelled), threading.Event(), 1)

    feed("test:64x64@100", stall_seconds=0.2, open_source=opened)
    assert "No picture" in watcher.wait_for_state("gone").last_fault
    watcher.wait(lambda: len(watcher.sounds) > 1)


def test_pictures_that_are_passed_over_are_no_stall(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    """The decoder is too slow, and the camera sends a keyframe every few seconds: reconnecting would be no faster."""

    class SlowlyDecoded(HangingCard):
        def __iter__(self) -> Iterator[LiveItem]:
            items = iter(self._card)
            yield next(item for item in items if isinstance(item, LivePicture))
            for _ in range(12):
                time.sleep(0.2)
                yield PassedOver()
            yield from items

    def opened(address: LiveAddress, *, cancelled: threading.Event, **_: object) -> SlowlyDecoded:
        return SlowlyDecoded(TestCard(address, cancelled=cancelled), threading.Event(), 1)

    passed_over: list[int] = []
    running = feed("test:64x64@100", stall_seconds=2, open_source=opened, on_passed_over=lambda: passed_over.append(1))
    watcher.wait_for_more(20)
    assert running.status().faults == 0
    assert len(passed_over) == 12


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


class Camera:
    """A camera of Motion JPEG over HTTP. `code` other than 200 is answered with that error; `size` may be changed;
    `hang_up` ends what is under way."""

    def __init__(self) -> None:
        self.code, self.size, self.is_open = 200, (160, 96), True
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if camera.code != 200:
                    self.send_error(camera.code)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
                self.end_headers()
                camera.is_open = True
                with suppress(OSError):
                    while camera.is_open:
                        body = camera.jpeg()
                        self.wfile.write(
                            b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
                        )
                        self.wfile.write(body + b"\r\n")
                        time.sleep(0.02)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.address = f"http://admin:s3cret@127.0.0.1:{self._server.server_address[1]}/video?key=s3cret"

    def jpeg(self) -> bytes:
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *self.size, "yuvj420p", Fraction(1, 25)
        picture = av.VideoFrame(*self.size, "yuvj420p")
        picture.pts = 0
        return b"".join(bytes(packet) for packet in encoder.encode(picture))

    def close(self) -> None:
        self.is_open = False
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def camera() -> Iterator[Camera]:
    with closing(Camera()) as running:
        yield running


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_wrong_address_is_final_at_first(
    code: int, camera: Camera, watcher: Watcher, feed: Callable[..., Feed]
) -> None:
    camera.code = code
    feed(camera.address)
    status = watcher.wait_for_state("failed")
    assert str(code) in status.last_fault
    assert "s3cret" not in status.last_fault


def test_once_pictures_flowed_the_address_is_right(camera: Camera, watcher: Watcher, feed: Callable[..., Feed]) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        time.sleep(0.01)

    running = feed(camera.address, pause=pause)
    watcher.wait_for_more(5)
    camera.code, camera.is_open = 404, False
    watcher.wait_for_state("gone", 4)
    assert "404" in running.status().last_fault
    camera.code, camera.size = 200, (96, 64)
    status = watcher.wait_for_state("live", 2)
    watcher.wait_for_more(5)
    assert status.reconnects == 1
    assert status.video_format is not None
    assert (status.video_format.width, status.video_format.height) == (96, 64)
    assert "s3cret" not in repr(watcher.states)
    assert all(0.5 <= seconds <= 8 for seconds in pauses)
