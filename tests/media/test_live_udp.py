"""LiveInput with real MPEG-TS over UDP."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from fractions import Fraction
from itertools import islice, pairwise

import av
import pytest

from lipt_stream.errors import AbsentError
from lipt_stream.media.live import LivePicture, PassedOver
from lipt_stream.media.live_clock import LiveClock
from lipt_stream.media.live_input import LiveInput
from tests.media.live_playback import connect, film


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
