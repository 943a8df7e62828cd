"""Who is let in: every door of the server, tried by those who must not pass and those who may."""

from __future__ import annotations

import pytest
from clock_session import ClockSession
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from lipt_stream.web.app import new_app
from lipt_stream.web.guard import Guard, is_loopback
from lipt_stream.web.preview import Preview

TOKEN = "the-token-of-these-tests"
HERE = "http://127.0.0.1:8710"
BEARER = {"authorization": f"Bearer {TOKEN}"}
WATCH = "ws://127.0.0.1:8710/watch"
POSTS = ("/model", "/pause", "/record", "/snapshot")
JSON = {"content-type": "application/json"}


def client_of(bound_host: str = "127.0.0.1", base_url: str = HERE, origin: str | None = None) -> TestClient:
    preview = Preview()
    app = new_app(ClockSession(preview), preview)
    guarded = Guard(app, token=TOKEN, bound_host=bound_host, port=8710, origin=origin)
    return TestClient(guarded, base_url=base_url, follow_redirects=False)


@pytest.fixture
def stranger() -> TestClient:
    return client_of()


@pytest.fixture
def page() -> TestClient:
    """A browser that has opened the address with the token."""
    client = client_of()
    assert client.get("/", params={"token": TOKEN}).status_code == 303
    return client


def test_the_token_becomes_a_cookie_and_leaves_the_address(stranger: TestClient) -> None:
    answer = stranger.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie, "a link from another site is followed with it too"
    assert stranger.get("/").status_code == 200
    assert "<title>lipt-stream</title>" in stranger.get("/").text


@pytest.mark.parametrize(
    ("origin", "is_secure"),
    [(None, False), ("http://cameras.example.org", False), ("https://cameras.example.org", True)],
)
def test_behind_tls_the_cookie_is_never_sent_without(origin: str | None, is_secure: bool) -> None:
    answer = client_of(origin=origin).get("/", params={"token": TOKEN})
    assert ("; secure" in answer.headers["set-cookie"].lower()) == is_secure


@pytest.mark.parametrize(
    "path", ["/", "/page/main.js", "/page/style.css", "/watch", "/nothing", "/?token=wrong", "/?token=%ff"]
)
def test_without_the_token_nothing_is_shown(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)
    assert answer.status_code == 401
    assert answer.text.count("\n") == 0
    assert TOKEN not in answer.text


@pytest.mark.parametrize("path", POSTS)
def test_without_the_token_nothing_is_done(stranger: TestClient, path: str) -> None:
    assert stranger.post(path, json={}, headers={"origin": HERE}).status_code == 401
    assert stranger.post(path, json={}, headers={"authorization": "Bearer wrong", "origin": HERE}).status_code == 401


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:9999", "http://localhost:8710"]
)
def test_a_post_must_come_from_the_page(page: TestClient, path: str, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    assert page.post(path, json={}, headers=headers).status_code == 403


def test_a_script_shows_its_token_instead_of_an_origin(stranger: TestClient) -> None:
    assert stranger.post("/pause", json={"paused": True}, headers=BEARER).status_code == 200
    evil = {**BEARER, "origin": "http://evil.example"}
    assert stranger.post("/pause", json={"paused": True}, headers=evil).status_code == 403


def test_a_websocket_must_come_from_the_page_and_know_the_token(page: TestClient, stranger: TestClient) -> None:
    with page.websocket_connect(WATCH, headers={"origin": HERE}) as socket:
        assert socket.receive_json()["type"] == "session"
    for client, headers in (
        (page, {}),
        (page, {"origin": "http://evil.example"}),
        (page, {"origin": HERE, "host": "evil.example"}),
        (stranger, {"origin": HERE}),
        (stranger, {"origin": "http://evil.example", **BEARER}),
    ):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(WATCH, headers=headers):
            pass


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8710", "10.0.0.1:8710", "0.0.0.0:8710", "", "[::1", "x@y"]
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/page/main.js"])
def test_a_name_that_was_made_to_point_here_is_refused(page: TestClient, host: str, path: str) -> None:
    answer = page.get(path, headers={"host": host})
    assert answer.status_code == 403
    assert "IP address" in answer.text, "for a person whose router gave this machine another name"


@pytest.mark.parametrize("host", ["localhost:8710", "127.0.0.1", "[::1]:8710", "LOCALHOST:9000", "127.0.0.2:1"])
def test_loopback_has_many_names_and_a_forwarded_port_is_another(stranger: TestClient, host: str) -> None:
    assert stranger.get("/", headers={"host": host, **BEARER}).status_code == 200


def test_metrics_need_no_token_on_loopback_alone(stranger: TestClient) -> None:
    assert stranger.get("/metrics").status_code == 200
    network = client_of("0.0.0.0", "http://10.0.0.5:8710")
    assert network.get("/metrics").status_code == 401
    assert network.get("/metrics", headers=BEARER).status_code == 200
    assert network.get("/").status_code == 401


def test_in_a_network_only_addresses_and_own_names_are_known() -> None:
    network = client_of("0.0.0.0", "http://10.0.0.5:8710")
    assert network.get("/", headers=BEARER).status_code == 200
    assert network.get("/", headers={**BEARER, "host": "localhost:8710"}).status_code == 200
    assert network.get("/", headers={**BEARER, "host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("host", ["cameras.example.org", "127.0.0.1:8710"], ids=["passed on", "the proxy's own"])
def test_behind_a_proxy_the_page_has_one_name_more(host: str) -> None:
    client = client_of(origin="https://cameras.example.org")
    client.headers["host"] = host
    bearer = {**BEARER, "origin": "https://cameras.example.org"}
    assert client.get("/", headers=BEARER).status_code == 200
    assert client.post("/pause", json={"paused": True}, headers=bearer).status_code == 200
    for origin in ("https://evil.example", "http://cameras.example.org:81", "https://sub.cameras.example.org"):
        assert client.post("/pause", json={}, headers={**BEARER, "origin": origin}).status_code == 403
    assert client.get("/", headers={**BEARER, "host": "evil.example"}).status_code == 403
    assert client.get("/metrics").status_code == 401, "the proxy brings others to what is open on this machine"
    assert client.get("/metrics", headers=BEARER).status_code == 200


@pytest.mark.parametrize("path", ["/", "/metrics", "/page/icon.svg", "/nothing"])
def test_every_answer_carries_the_headers(page: TestClient, path: str) -> None:
    headers = page.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_the_page_has_no_field_for_an_address_and_nothing_from_elsewhere(page: TestClient) -> None:
    html = page.get("/").text
    assert "<input" not in html
    assert "<textarea" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert " style=" not in html
    assert "<style" not in html


@pytest.mark.parametrize(
    "path", ["/page/../guard.py", "/page/..%2fguard.py", "/page/%2e%2e/app.py", "/page//etc/passwd"]
)
def test_no_file_but_the_pages_own(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("::", False)],
)
def test_what_loopback_is(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
