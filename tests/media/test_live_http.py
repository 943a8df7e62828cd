"""LiveInput with a real HTTP server: films, Motion JPEG, playlists, redirections and refusals."""

from __future__ import annotations

import base64
import http.server
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path

import pytest

from lipt_stream.errors import AddressError, InputError
from tests.film import jpeg
from tests.http_server import HttpServer
from tests.media.live_playback import PLAYLIST, assert_at_its_own_speed, connect, film, pictures

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

        self._server = HttpServer(Handler)
        self.host = self._server.host

    def close(self) -> None:
        self._server.close()


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
