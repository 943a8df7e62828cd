"""LiveInput with real files, a real HTTP server and real MPEG-TS over UDP. RTSP: tests/live/test_feed_rtsp.py."""

from __future__ import annotations

import base64
import http.server
import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.errors import AbsentError, AddressError, InputError
from lipt_stream.media.live import LiveItem, LivePicture, LiveSound, LiveSource, PassedOver
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_clock import LiveClock
from lipt_stream.media.live_input import LiveInput, open_live

PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"


def connect(
    text: str, *, cancelled: threading.Event | None = None, seconds: float = 5, **options: object
) -> LiveSource:
    return open_live(
        live_address(text, **options),  # type: ignore[arg-type]
        open_timeout_seconds=seconds,
        read_timeout_seconds=seconds,
        cancelled=cancelled or threading.Event(),
    )


def pictures(items: Iterator[LiveItem] | LiveSource) -> Iterator[LivePicture]:
    return (item for item in items if isinstance(item, LivePicture))


def assert_at_its_own_speed(played: list[LivePicture]) -> None:
    """None comes before its time."""
    first = played[0]
    for picture in played:
        early = picture.time_seconds - first.time_seconds - (picture.arrived_seconds - first.arrived_seconds)
        assert early <= 0.001


def film(count: int, *, size: tuple[int, int] = (160, 96), first: int = 0, sound: bool = True) -> bytes:
    """MPEG-TS at 50 fps, a keyframe every 5 pictures, their grey counting up; AAC beside it."""
    target = io.BytesIO()
    with av.open(target, "w", format="mpegts", options={"mpegts_copyts": "1"}) as container:
        video = container.add_stream(
            "libx264", rate=50, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        )
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        audio = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for n in range(count):
            picture = av.VideoFrame(*size, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([16 + n % 200]) * plane.buffer_size)
            picture.pts, picture.time_base = first + 1800 * n, Fraction(1, 90_000)
            container.mux(video.encode(picture))
            if audio:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), "fltp", "mono")
                tone.sample_rate, tone.time_base = 48_000, Fraction(1, 90_000)
                tone.pts = first + 1800 * n
                container.mux(audio.encode(tone))
        container.mux(video.encode())
    return target.getvalue()


def jpeg(size: tuple[int, int], grey: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 25)
    picture = av.VideoFrame(*size, "yuvj420p")
    for plane in picture.planes:
        plane.update(bytes([grey]) * plane.buffer_size)
    picture.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(picture))


Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


class Site:
    """A web server; `files` by path, or functions that answer. `asked` are the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Answer] = {}
        self.asked: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                site.asked.append(path)
                body = site.files.get(path)
                if body is None:
                    self.send_error(404)
                elif isinstance(body, bytes):
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                else:
                    with suppress(OSError):  # who asked has left
                        body(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with closing(Site()) as running:
        yield running


def sends_on_to(target: str) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", target)
        request.end_headers()

    return answer


def test_a_file_plays_at_its_own_speed_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(film(25))
    source = connect(str(tmp_path / "a.ts"))
    assert (source.video_format.width, source.video_format.height, source.video_format.frame_rate) == (160, 96, 50)
    assert source.is_finite
    assert source.audio is not None
    assert (source.audio.codec, source.audio.sample_rate, source.audio.channels) == ("aac", 48_000, 1)
    with closing(source):
        items = list(source)
    played = list(pictures(iter(items)))
    assert [b.time_seconds - a.time_seconds for a, b in pairwise(played)] == [Fraction(1, 50)] * 24
    first = played[0]
    assert_at_its_own_speed(played)
    sounds = [item for item in items if isinstance(item, LiveSound)]
    assert len(sounds) >= 20
    assert min(abs(s.time_seconds - first.time_seconds) for s in sounds) <= Fraction(1, 40)


def test_a_file_that_loops_goes_on_with_its_time(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(film(10))
    with closing(connect(str(tmp_path / "a.ts"), loop=True)) as source:
        played = list(islice(pictures(source), 35))
    assert [b.time_seconds - a.time_seconds for a, b in pairwise(played)] == [Fraction(1, 50)] * 34
    greys = [np.from_dlpack(p.picture.planes[0])[48, 80] for p in played]
    assert np.array_equal(greys[:10], greys[10:20])


def test_a_file_with_reordered_pictures_keeps_them_all(clip: Path) -> None:
    with closing(connect(str(clip))) as source:
        played = list(islice(pictures(source), 20))
    assert all(a.time_seconds < b.time_seconds for a, b in pairwise(played))


def test_cancelling_ends_the_wait_for_the_next_picture(tmp_path: Path) -> None:
    (tmp_path / "a.ts").write_bytes(film(50))
    cancelled = threading.Event()
    with closing(connect(str(tmp_path / "a.ts"), cancelled=cancelled)) as source:
        for count, _ in enumerate(pictures(source)):
            if count == 3:
                cancelled.set()
    assert count <= 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("gone.mp4", None),
        ("text.mp4", b"no film " * 100),
        ("list.m3u8", f"{PLAYLIST}#EXTINF:1,\n/etc/passwd\n".encode()),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ("session.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    ],
)
def test_a_file_that_is_no_film_is_a_wrong_address(name: str, content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AddressError) as refusal:
        connect(str(tmp_path / name))
    assert name in str(refusal.value)


@pytest.mark.parametrize("length", [None, 2**31 - 1, 10**7])
def test_http_motion_jpeg_has_no_times_and_may_change_its_size(site: Site, length: int | None) -> None:
    def stream(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        if length:
            request.send_header("Content-Length", str(length))
        request.end_headers()
        for n in range(12):
            body = jpeg((160, 96) if n < 6 else (96, 160), 100 + n)
            request.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body))
            request.wfile.write(body + b"\r\n")

    site.files["/video"] = stream
    with closing(connect(f"http://{site.host}/video")) as source:
        shown = list(islice(pictures(source), 11))
    assert (source.video_format.frame_rate, source.is_finite, source.audio) == (None, False, None)
    assert source.video_format.color_range == "full"
    assert all(p.time_seconds is None for p in shown)
    sizes = [(p.picture.width, p.picture.height) for p in shown]
    assert sizes == [(160, 96)] * 6 + [(96, 160)] * 5


def test_http_pieces_are_played_at_their_own_speed(site: Site) -> None:
    site.files["/a.ts"], site.files["/b.ts"] = film(10), film(10, first=18_000)
    site.files["/live.m3u8"] = f"{PLAYLIST}#EXTINF:0.2,\na.ts\n#EXTINF:0.2,\nb.ts\n#EXT-X-ENDLIST\n".encode()
    with closing(connect(f"http://user:s3cret@{site.host}/live.m3u8?token=s3cret")) as source:
        played = list(pictures(source))
    assert source.is_finite
    assert len(played) == 20
    assert_at_its_own_speed(played)


def test_playlists_over_http_open_no_local_file(site: Site, tmp_path: Path) -> None:
    (tmp_path / "secret.ts").write_bytes(film(10, sound=False))
    site.files["/a.ts"] = film(10, sound=False)
    local = f"file://{tmp_path}/secret.ts"
    coded = base64.b64encode(film(10, sound=False)).decode()
    lists = {
        "/plain.m3u8": f"{PLAYLIST}#EXTINF:1,\n{local}\n#EXT-X-ENDLIST\n",
        "/path.m3u8": f"{PLAYLIST}#EXTINF:1,\n{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        "/key.m3u8": f'{PLAYLIST}#EXT-X-KEY:METHOD=AES-128,URI="{local}"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n',
        "/map.m3u8": f'{PLAYLIST}#EXT-X-MAP:URI="{local}"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n',
        "/concat.m3u8": f"{PLAYLIST}#EXTINF:1,\nconcat:{tmp_path}/secret.ts\n#EXT-X-ENDLIST\n",
        "/data.m3u8": f"{PLAYLIST}#EXTINF:1,\ndata:video/mp2t;base64,{coded}\n#EXT-X-ENDLIST\n",
        "/crypto.m3u8": f"{PLAYLIST}#EXTINF:1,\ncrypto:{local}\n#EXT-X-ENDLIST\n",
        "/list.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{local}\n",
        "/x.ffconcat": f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n",
    }
    for path, text in lists.items():
        site.files[path] = text.encode()
        with pytest.raises(InputError):
            connect(f"http://{site.host}{path}")
    site.files["/mixed.m3u8"] = f"{PLAYLIST}#EXTINF:1,\na.ts\n#EXTINF:1,\n{local}\n#EXT-X-ENDLIST\n".encode()
    with closing(connect(f"http://{site.host}/mixed.m3u8")) as source:
        assert sum(1 for _ in pictures(source)) == 10, "what is served, and no more"


def test_playlists_over_http_may_name_other_hosts(site: Site) -> None:
    """As those of content delivery networks do: whoever plays one lets its author choose what is asked for."""
    with closing(Site()) as other:
        other.files["/b.ts"] = film(10)
        other.files["/moved.ts"] = sends_on_to(f"http://{other.host}/b.ts")
        for path in ("b.ts", "moved.ts"):
            text = f"{PLAYLIST}#EXTINF:0.2,\nhttp://{other.host}/{path}\n#EXT-X-ENDLIST\n"
            site.files["/live.m3u8"] = text.encode()
            with closing(connect(f"http://{site.host}/live.m3u8")) as source:
                assert sum(1 for _ in pictures(source)) == 10
        assert other.asked.count("/b.ts") >= 2


def test_a_redirection_is_refused_unless_asked_for(site: Site) -> None:
    site.files["/film.ts"] = film(10)
    site.files["/moved"] = sends_on_to(f"http://admin:s3cret@{site.host}/film.ts?token=s3cret")
    with pytest.raises(AddressError) as refusal:
        connect(f"http://{site.host}/moved")
    assert "/film.ts" not in site.asked
    assert "sends on to http://***@" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    connect(f"http://{site.host}/moved", max_redirects=1).close()
    site.files["/g%C3%A9"] = site.files["/g\xc3\xa9"] = sends_on_to("http://elsewhere/")
    with pytest.raises(AddressError, match="sends on to http://elsewhere/"):
        connect(f"http://admin:s3cret@{site.host}/gé")


@pytest.mark.parametrize(
    ("code", "kind"), [(401, AddressError), (403, AddressError), (404, AddressError), (503, InputError)]
)
def test_what_a_web_server_answers(code: int, kind: type[InputError], site: Site) -> None:
    site.files["/x"] = lambda request: request.send_error(code)
    with pytest.raises(InputError) as refusal:
        connect(f"http://admin:s3cret@{site.host}/x?key=s3cret")
    assert type(refusal.value) is kind
    assert refusal.value.__suppress_context__, "what it came of holds the address"
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("rtsp://admin:s3cret@127.0.0.1:1/x", AbsentError, "nothing listens"),
        ("rtmp://admin:s3cret@127.0.0.1:1/x/y", AbsentError, "nothing listens"),
        ("http://admin:s3cret@127.0.0.1:1/x", AbsentError, "nothing listens"),
        ("rtsp://admin:s3cret@no-such-host.invalid/x", AddressError, "no host of that name"),
        ("rtsp://admin:s3cret@no-such-host.local/x", AbsentError, "no host of that name"),
        ("rtsp://admin:s3cret@192.168..20/x", AddressError, "no host can have that name"),
        ("rtmp://admin:s3cret@.cam/x/y", AddressError, "no host can have that name"),
        (f"http://admin:s3cret@{'a' * 64}/x", AddressError, "no host can have that name"),
        ("rtsp://admin:s3cret[@no-such-host.invalid/x", AddressError, "no host of that name"),
        ("udp://203.0.113.7:5000", AddressError, "no such address"),
        ("webcam:/dev/null", AddressError, "no camera"),
        ("webcam:63", AddressError, "no such camera"),
    ],
)
def test_what_is_not_there(text: str, kind: type[InputError], words: str) -> None:
    with pytest.raises(InputError) as refusal:
        connect(text, seconds=3)
    assert type(refusal.value) is kind
    assert words in str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_one_that_listens_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for scheme in ("rtsp", "http", "rtmp"):
            with pytest.raises(AbsentError, match="answer"):
                connect(f"{scheme}://127.0.0.1:{port}/x", seconds=0.3)


@pytest.fixture
def send() -> Iterator[Callable[[list[bytes]], int]]:
    """Sends MPEG-TS over UDP at about the speed of 50 fps, each film a stretch of it, again and again until the test is
    over."""
    over, threads = threading.Event(), []

    def start(films: list[bytes]) -> int:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]

        def run() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for stretch in itertools.cycle(films):
                    pieces = [stretch[at : at + 7 * 188] for at in range(0, len(stretch), 7 * 188)]
                    for piece in pieces:
                        sender.sendto(piece, ("127.0.0.1", port))
                        if over.wait(2 / len(pieces)):
                            return

        threads.append(threading.Thread(target=run))
        threads[0].start()
        return port

    yield start
    over.set()
    for thread in threads:
        thread.join()


def test_mpegts_over_udp_through_a_wrap_and_damage(send: Callable[[list[bytes]], int]) -> None:
    """The 33 bits run over in the first stretch; the second is damaged."""
    before_wrap = 2**33 - 90_000
    damaged = bytearray(film(100, first=before_wrap + 180_000))
    for at in range(5_000, len(damaged), 307):
        damaged[at] ^= 0xFF
    port = send([film(100, first=before_wrap), bytes(damaged)])
    clock, pts, sounds = LiveClock(time.monotonic()), [], 0
    with closing(connect(f"udp://127.0.0.1:{port}")) as source:
        assert source.video_format.width == 160
        for item in source:
            if isinstance(item, LivePicture):
                pts.append(clock.picture(item.time_seconds, item.arrived_seconds))
            else:
                sounds += 1
            if len(pts) == 150:
                break
    assert source.audio is not None
    assert sounds > 50
    assert source.damaged > 0
    assert all(a < b for a, b in pairwise(pts))
    assert pts[-1] - pts[0] < 90_000 * 30, "no wrap is taken for a day"


def test_every_picture_that_a_slow_decoder_leaves_is_told(
    send: Callable[[list[bytes]], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = LiveInput._decoded  # pyright: ignore[reportPrivateUsage]

    def slowly(self: LiveInput, packet: av.Packet) -> Iterator[av.VideoFrame]:
        time.sleep(0.04)  # of the 0.02 that there are
        yield from decoded(self, packet)

    monkeypatch.setattr(LiveInput, "_decoded", slowly)
    port = send([film(100, first=180_000 * n, sound=False) for n in range(10)])
    with closing(connect(f"udp://127.0.0.1:{port}")) as source:
        items = list(islice(source, 200))
    assert any(isinstance(item, PassedOver) for item in items)
    times = [item.time_seconds for item in items if isinstance(item, LivePicture)]
    missing = Fraction(len(items) - 1, 50) - (times[-1] - times[0])
    assert abs(missing) < Fraction(1, 2), "times and items tell of as many"


def test_nothing_over_udp_is_waited_for_and_given_up() -> None:
    with pytest.raises(AbsentError, match=r"nothing arrives|answer"):
        connect("udp://127.0.0.1:45999", seconds=0.3)
