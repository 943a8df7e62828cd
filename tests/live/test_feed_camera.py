"""Feed with a camera over HTTP, whose address is wrong, or was right once."""

from __future__ import annotations

import http.server
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from lipt_stream.live.feed import Feed
from tests.film import jpeg
from tests.http_server import HttpServer
from tests.live.watcher import Watcher


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
                        body = jpeg(camera.size, 128)
                        self.wfile.write(
                            b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
                        )
                        self.wfile.write(body + b"\r\n")
                        time.sleep(0.02)

        self._server = HttpServer(Handler)
        self.address = f"http://admin:s3cret@{self._server.host}/video?key=s3cret"

    def close(self) -> None:
        self.is_open = False
        self._server.close()


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
