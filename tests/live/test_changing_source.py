"""A camera that is set otherwise while it is watched, and starts its clock anew: sound and picture stay together."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import pytest

from lipt_stream.live.session import LiveSession
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.targets import parse_targets
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import LiveInput
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
    assert told in report.notes, events
    assert report.sounds_dropped > 10


def test_sound_goes_on_in_step_where_the_camera_hangs_up_and_another_stream_answers(tmp_path: Path) -> None:
    chapters = [Chapter(3.5, (96, 64)), Chapter(60, (160, 96), 25, first_seconds=7000.0)]
    server = serve_by_http("127.0.0.1", 0, "/video", chapters, one_by_one=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = tmp_path / "larger.mkv"
    address = live_address(f"http://127.0.0.1:{server.server_address[1]}/video")
    lines: list[Mapping[str, Any]] = []
    try:
        session = LiveSession(address, parse_targets([str(target)]), LiveSpec(model="lanczos", runtime="torch"))
        report = session.run(
            on_stats=lambda line: lines.append(line) if line["source"]["reconnects"] else None,
            on_event=lambda _: None,
            stop=lambda: len(lines) > 6,
        )
    finally:
        server.shutdown()
        server.server_close()
    assert report.reconnects == 1
    assert not [note for note in report.notes if "sound" in note]
    offsets = offsets_seconds(target)
    reconnected_seconds = 3.5 + 0.5  # it takes at least the first pause to come back
    assert {at > reconnected_seconds for at, _ in offsets} == {True, False}, "before and after"
    assert max(abs(offset) for _, offset in offsets) < 0.040, offsets


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


def test_pictures_that_come_faster_than_they_can_be_decoded_do_not_grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HEVC in 2160p does on a small machine. What is not decoded would wait in FFmpeg and the kernel, unseen."""
    decode = LiveInput._decoded

    def slow(source: LiveInput, packet: Any) -> Any:
        for picture in decode(source, packet):
            time.sleep(0.06)
            yield picture

    monkeypatch.setattr(LiveInput, "_decoded", slow)
    server = serve_by_http("127.0.0.1", 0, "/video", [Chapter(60, (96, 64), 25)])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = live_address(f"http://127.0.0.1:{server.server_address[1]}/video")
    spec = LiveSpec(model="lanczos", runtime="torch", duration_seconds=8)
    lines: list[Mapping[str, Any]] = []
    try:
        session = LiveSession(address, parse_targets(["null"]), spec)
        report = session.run(on_stats=lines.append, on_event=lambda _: None, stop=lambda: False)
    finally:
        server.shutdown()
        server.server_close()
    assert report.dropped_by_reason["behind"] > 10
    assert 0 <= report.frames_in - report.frames_out - report.frames_dropped <= 5
    assert report.frames_in > 120, "eight seconds of 25 a second, of which the first are waited through"
    assert lines[-1]["fps_target"] == pytest.approx(25, rel=0.3)
    assert report.latency_p99_ms < 400
    assert report.faults == 0
    assert any("decoding takes longer" in note for note in report.notes)
