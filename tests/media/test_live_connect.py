"""What FFmpeg is told to wait for."""

from __future__ import annotations

import av
import pytest

from lipt_stream.media import live_connect
from lipt_stream.media.live_address import live_address


@pytest.mark.parametrize("address", ["rtsp://127.0.0.1/x", "udp://127.0.0.1:5000", "http://127.0.0.1/x"])
@pytest.mark.parametrize("seconds", [3.0, 86_400.0])
def test_a_long_patience_is_one_that_ffmpeg_can_count(
    monkeypatch: pytest.MonkeyPatch, address: str, seconds: float
) -> None:
    """Its timeouts of RTSP and UDP are ints of microseconds: with a day's, nothing could be opened."""
    told: dict[str, str] = {}
    monkeypatch.setattr(av, "open", lambda _url, *, options, **_others: told.update(options))
    live_connect.connect(live_address(address), (5.0, seconds))
    name = "rw_timeout" if address.startswith("http") else "timeout"
    assert int(told[name]) == min(round(seconds * 1e6), 2**31 - 1)
