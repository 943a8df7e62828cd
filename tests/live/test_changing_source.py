"""A camera that is set otherwise while it is watched, and starts its clock anew: sound and picture stay together."""

from __future__ import annotations

import threading
from pathlib import Path

import av

from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import parse_targets
from lipt_stream.media.live_address import live_address
from tests.live.flash_camera import Chapter, offsets_seconds, serve_by_http

CHAPTERS = (
    Chapter(4, (320, 180), 30, "yuv420p", 0.0),
    Chapter(4, (160, 96), 25, "yuv444p", 7000.0),  # smaller, slower, of another format, and its clock jumps
    Chapter(4, (320, 240), 24, "yuv420p", 95_440.0),  # of another shape; 33 bits of 90 kHz wrap after 3.7 s
)


def test_sound_that_comes_with_a_later_connection_is_left_out_and_said() -> None:
    chapters = [Chapter(2.5, (96, 64), has_sound=False), Chapter(60, (96, 64))]
    server = serve_by_http("127.0.0.1", 0, "/video", chapters, one_by_one=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = live_address(f"http://127.0.0.1:{server.server_address[1]}/video")
    spec = LiveSpec(model="lanczos", runtime="torch", duration_seconds=60)
    events: list[str] = []
    try:
        session = LiveSession(address, parse_targets(["null"]), spec)
        told = "the source's sound was not there at first, and left out: begin the session anew to have it"
        # a while later, so that packets of it come
        came: list[float] = []
        report = session.run(
            on_stats=lambda _: came.append(0.0) if f"note: {told}" in events else None,
            on_event=events.append,
            stop=lambda: len(came) > 2,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert told in report.notes
    assert report.sounds_dropped > 10


def test_size_rate_format_and_times_may_change_at_any_picture(tmp_path: Path) -> None:
    server = serve_by_http("127.0.0.1", 0, "/video", CHAPTERS)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = tmp_path / "larger.mkv"
    address = live_address(f"http://127.0.0.1:{server.server_address[1]}/video")
    spec = LiveSpec(model="lanczos", runtime="torch", duration_seconds=12.5)
    try:
        session = LiveSession(address, parse_targets([str(target)]), spec)
        report = session.run(on_stats=lambda _: None, on_event=lambda _: None, stop=lambda: False)
    finally:
        server.shutdown()
        server.server_close()
    with av.open(str(target)) as container:
        pictures = list(container.decode(video=0))
    assert {(picture.width, picture.height) for picture in pictures} == {(640, 360)}, "the result keeps its size"
    times = [picture.pts for picture in pictures]
    assert times == sorted(set(times))
    assert report.frames_out > 150
    offsets = offsets_seconds(target)
    assert {int(at) // 4 for at, _ in offsets} >= {0, 1, 2}, "some of each chapter"
    assert max(abs(offset) for _, offset in offsets) < 0.040, offsets
