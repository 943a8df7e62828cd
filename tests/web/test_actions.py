"""The buttons' side of the server: what is done, and the one line where it is refused."""

from __future__ import annotations

import asyncio
import email
import io

import numpy as np
import pytest
from clock_session import ClockSession
from PIL import Image
from starlette.testclient import TestClient

from lipt_stream.errors import OutputError
from lipt_stream.live.control import Stills
from lipt_stream.web.app import new_app
from lipt_stream.web.preview import Preview


class Told(ClockSession):
    """Has stills that a test gives it, and a disk that may be full."""

    pair: Stills | None = None
    disk_is_full = False
    file: str | None = None

    def stills(self) -> Stills | None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()  # it takes its time, in which nobody else would be served
        return self.pair

    def record(self, recording: bool) -> str | None:
        if self.disk_is_full:
            raise OutputError("Cannot write out/live.mkv: no space is left on the device", "Free some space.")
        return super().record(recording) and (self.file or "out/live.mkv")


@pytest.fixture
def session() -> Told:
    return Told(Preview())


@pytest.fixture
def client(session: Told) -> TestClient:
    return TestClient(new_app(session, session.preview), raise_server_exceptions=False)


def test_what_is_asked_is_done(client: TestClient, session: Told) -> None:
    assert client.post("/model", json={"name": "tiny"}).json() == {"name": "tiny"}
    assert client.post("/pause", json={"paused": True}).json() == {"paused": True}
    assert client.post("/record", json={"recording": True}).json() == {"recording": True, "file": "out/live.mkv"}
    assert client.post("/record", json={"recording": False}).json() == {"recording": False, "file": None}
    assert session.asked == [("model", "tiny"), ("pause", True), ("record", True), ("record", False)]


def test_a_name_that_is_not_utf8_is_answered(client: TestClient, session: Told) -> None:
    session.file = "caf\udce9/live.mkv"
    assert client.post("/record", json={"recording": True}).json()["file"] == session.file


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/model", {"name": "huge"}, "There is no model 'huge'. Known: auto, small, tiny, nano, lanczos"),
        ("/model", {"name": 3}, "The request needs 'name'. It is a text."),
        ("/pause", {"paused": "yes"}, "The request needs 'paused'. It is a true or false."),
        ("/record", {}, "The request needs 'recording'. It is a true or false."),
        ("/pause", [True], "The request is no JSON object"),
        ("/snapshot", {}, "There is no picture to keep yet. Wait for the first one."),
        ("/model", {"name": "x" * 2000}, "The request is longer than 1024 bytes"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    client: TestClient, session: Told, path: str, body: object, said: str
) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": said}
    assert session.asked == []


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_only_json_is_read(client: TestClient, session: Told, kind: str) -> None:
    answer = client.post("/pause", content=b'{"paused": true}', headers={"content-type": kind})
    assert answer.status_code == 400
    assert session.asked == []


@pytest.mark.parametrize("content", [b'{"paused": ', b"[" * 1000])
def test_half_a_json_is_none(client: TestClient, content: bytes) -> None:
    answer = client.post("/pause", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {"error": "The request is not JSON"}


def test_a_failure_is_told_in_the_session_s_own_words(client: TestClient, session: Told) -> None:
    session.disk_is_full = True
    answer = client.post("/record", json={"recording": True})
    assert answer.status_code == 500
    assert answer.json() == {"error": "Cannot write out/live.mkv: no space is left on the device. Free some space."}


def test_what_nobody_foresaw_tells_nothing_of_the_inside(
    client: TestClient, session: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bool) -> None:
        raise ZeroDivisionError("/secret/path")

    monkeypatch.setattr(session, "pause", fail)
    answer = client.post("/pause", json={"paused": True})
    assert answer.status_code == 500
    assert "secret" not in answer.text


def test_the_snapshot_is_both_pictures_to_the_bit(client: TestClient, session: Told) -> None:
    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (18, 32, 3), np.uint8)
    result = rng.integers(0, 256, (54, 96, 3), np.uint8)
    session.pair = Stills(source, result, 3)
    answer = client.post("/snapshot", json={})
    header = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = [part for part in email.message_from_bytes(header + answer.content).walk() if part.get_filename()]
    assert [str(part.get_filename()).rpartition("-")[2] for part in parts] == ["source.png", "x3.png"]
    for part, pixels in zip(parts, (source, result), strict=True):
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(payload))), pixels)


@pytest.mark.parametrize("path", ["/model", "/pause", "/record", "/snapshot"])
def test_nothing_is_done_by_looking(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 405
