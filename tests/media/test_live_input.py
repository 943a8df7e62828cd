"""LiveInput with real files, and with what is not there or says nothing. RTSP: tests/live/test_feed_rtsp.py."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from lipt_stream.errors import AbsentError, AddressError, InputError
from lipt_stream.media.live import LiveSound
from tests.media.live_playback import PLAYLIST, assert_at_its_own_speed, connect, film, pictures


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
