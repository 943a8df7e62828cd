"""The page behind nginx, set up as docs/live.md shows it (without TLS, which nginx ends)."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock_session import ClockSession
from websockets.sync.client import connect

from lipt_stream.errors import SettingsError
from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server
from tests.nginx import free_port, nginx_running

TOKEN = "a-token-for-tests-that-is-long-enough"
NAME = "cameras.example.org"
DOCS = Path(__file__).parents[2] / "docs" / "live.md"


@pytest.fixture
def proxy_port(tmp_path: Path) -> Iterator[int]:
    """Of an nginx with the settings in the docs, before a session that knows its public name."""
    port, preview = free_port(), Preview()
    server = Server(ClockSession(preview), preview, port=0, page_url=f"http://{NAME.upper()}:{port}/", token=TOKEN)
    server.start()
    site = re.search(r"```nginx\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert site
    http = site[1].replace("443 ssl", f"127.0.0.1:{port}").replace("127.0.0.1:8710", f"127.0.0.1:{server.port}")
    try:
        with nginx_running(tmp_path, port, http=http):
            yield port
    finally:
        preview.close(1)
        server.stop(30)


def ask(port: int, path: str, body: dict[str, bool] | None = None, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"host": f"{NAME}:{port}", **headers})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("content-type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_the_page_the_buttons_and_the_picture_behind_nginx(proxy_port: int) -> None:
    origin = f"http://{NAME}:{proxy_port}"
    cookie = {"cookie": cookie_of(proxy_port)}
    status, page = ask(proxy_port, "/", **cookie)
    assert status == 200
    assert b"<title>lipt-stream</title>" in page
    assert ask(proxy_port, "/pause", {"paused": True}, origin=origin, **cookie)[0] == 200
    assert ask(proxy_port, "/pause", {"paused": True}, origin="http://evil.example", **cookie)[0] == 403
    with connect(
        f"ws://127.0.0.1:{proxy_port}/watch",
        origin=origin,  # type: ignore[arg-type]
        additional_headers=cookie,
        proxy=None,
    ) as viewer:
        assert json.loads(viewer.recv(timeout=30))["type"] == "session"


def test_nothing_is_open_behind_nginx_without_the_token(proxy_port: int) -> None:
    for path in ("/", "/metrics", "/page/main.js"):
        assert ask(proxy_port, path)[0] == 401
    assert ask(proxy_port, "/metrics", authorization=f"Bearer {TOKEN}")[0] == 200


def cookie_of(port: int) -> str:
    """What the browser is given for the token."""
    connection = urllib.request.build_opener(_Still)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/?token={TOKEN}", headers={"host": f"{NAME}:{port}"})
    with pytest.raises(urllib.error.HTTPError) as answer:
        connection.open(request, timeout=10)
    with answer.value as welcome:
        assert (welcome.code, welcome.headers["location"]) == (303, "/")
        return str(welcome.headers["set-cookie"]).partition(";")[0]


class _Still(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # type: ignore[override]
        """Goes nowhere: the answer itself is wanted."""


@pytest.mark.parametrize(
    ("page_url", "shown"),
    [
        ("https://Cameras.example.org:443/", "https://cameras.example.org/?token="),
        ("http://cameras.example.org:8080", "http://cameras.example.org:8080/?token="),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/?token="),
        ("https://kamera-büro.example", "https://xn--kamera-bro-heb.example/?token="),
        ("https://Straße.example", "https://xn--strae-oqa.example/?token="),
    ],
)
def test_the_address_that_is_printed_is_the_public_one(page_url: str, shown: str) -> None:
    server = Server(ClockSession(Preview()), Preview(), port=0, page_url=page_url, token=TOKEN)
    assert server.url == shown + TOKEN
    assert (
        server.metrics_words == f"http://127.0.0.1:{server.port}/metrics with the header Authorization: Bearer {TOKEN}"
    )
    server.stop()


@pytest.mark.parametrize(
    "page_url",
    ["cameras.example.org", "ftp://a.example", "https://", "https://a.example/page", "https://a:b@c.example",
     "https://a.example:x", "https://[::1", "https://a.example/?x", "https://\u2014.example"],
)  # fmt: skip
def test_what_is_no_address_of_a_site_is_refused(page_url: str) -> None:
    with pytest.raises(SettingsError, match="is not the address of a whole site"):
        Server(ClockSession(Preview()), Preview(), port=0, page_url=page_url, token=TOKEN)
