"""A live source as tests play it, and a film in MPEG-TS for it to hold."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from lipt_stream.media.live import LiveItem, LivePicture, LiveSource
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import open_live

PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:0\n"


def connect(
    text: str, *, cancelled: threading.Event | None = None, seconds: float = 5, **options: object
) -> LiveSource:
    return open_live(
        live_address(text, **options),  # type: ignore[arg-type]
        open_timeout_seconds=seconds,
        read_timeout_seconds=seconds,
        cancelled=cancelled or threading.Event(),
    )


def pictures(items: Iterator[LiveItem] | LiveSource) -> Iterator[LivePicture]:
    return (item for item in items if isinstance(item, LivePicture))


def assert_at_its_own_speed(played: list[LivePicture]) -> None:
    """None comes before its time."""
    first = played[0]
    for picture in played:
        early = picture.time_seconds - first.time_seconds - (picture.arrived_seconds - first.arrived_seconds)
        assert early <= 0.001


def film(count: int, *, size: tuple[int, int] = (160, 96), first: int = 0, sound: bool = True) -> bytes:
    """MPEG-TS at 50 fps, a keyframe every 5 pictures, their grey counting up; AAC beside it."""
    target = io.BytesIO()
    with av.open(target, "w", format="mpegts", options={"mpegts_copyts": "1"}) as container:
        video = container.add_stream(
            "libx264", rate=50, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
        )
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = Fraction(1, 90_000)
        audio = container.add_stream("aac", rate=48_000, layout="mono") if sound else None
        for n in range(count):
            picture = av.VideoFrame(*size, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([16 + n % 200]) * plane.buffer_size)
            picture.pts, picture.time_base = first + 1800 * n, Fraction(1, 90_000)
            container.mux(video.encode(picture))
            if audio:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), "fltp", "mono")
                tone.sample_rate, tone.time_base = 48_000, Fraction(1, 90_000)
                tone.pts = first + 1800 * n
                container.mux(audio.encode(tone))
        container.mux(video.encode())
    return target.getvalue()
