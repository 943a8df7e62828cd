"""A camera that flashes and beeps at the same moments, once a second: MPEG-TS over UDP or HTTP, in chapters.

With each chapter its encoders and its multiplexer are begun anew, as a camera's are when it is set otherwise: size,
rate, pixel format and times may be others. How far sound and picture have come apart on the way can be measured at the
other end, by `offsets_seconds`.

    python flash_camera.py udp://127.0.0.1:5000 --chapter 4,320x180,30,yuv420p,0 --chapter 4,160x96,25,yuv444p,7000
    python flash_camera.py http://127.0.0.1:8000/video --password admin:secret
"""

from __future__ import annotations

import argparse
import base64
import http.server
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np

SAMPLE_RATE = 48_000
FLASH_SECONDS = 0.2
DARK, BRIGHT = 40, 220
BETWEEN = 130  # of the mean luma in the middle of a picture: what is above is a flash
TONE_HZ = 1000
AUDIBLE = 0.1  # of full scale
TS_PACKETS = 7 * 188  # in a datagram


@dataclass(frozen=True)
class Chapter:
    """`first_seconds`: what the times of this chapter begin with."""

    seconds: float = math.inf
    size: tuple[int, int] = (320, 180)
    rate: int = 30
    pix_fmt: str = "yuv420p"
    first_seconds: float = 0.0
    has_sound: bool = True

    @classmethod
    def parse(cls, text: str) -> Chapter:
        seconds, size, rate, pix_fmt, first = text.split(",")
        width, height = map(int, size.split("x"))
        return cls(float(seconds), (width, height), int(rate), pix_fmt, float(first))


def play(send: Callable[[bytes], object], chapters: Iterable[Chapter], over: threading.Event) -> None:
    """Sends MPEG-TS at its own speed until the last chapter has ended, `send` raises OSError or `over` is set."""
    began = time.monotonic()
    for chapter in chapters:
        _play_chapter(_Pipe(send), chapter, began, over)
        began += chapter.seconds


class _Pipe:
    """As much of a file as PyAV wants of one that is written."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send

    def write(self, data: bytes) -> int:
        self._send(bytes(data))
        return len(data)


def _play_chapter(pipe: _Pipe, chapter: Chapter, began: float, over: threading.Event) -> None:
    options = {"mpegts_copyts": "1", "flush_packets": "1"}
    with av.open(pipe, "w", format="mpegts", options=options) as container:
        video = container.add_stream(
            "libx264", rate=chapter.rate, options={"preset": "ultrafast", "tune": "zerolatency"}
        )
        video.width, video.height, video.pix_fmt = *chapter.size, chapter.pix_fmt
        video.gop_size = chapter.rate
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono") if chapter.has_sound else None
        n = samples = 0
        while n < chapter.seconds * chapter.rate:
            late = time.monotonic() - began - n / chapter.rate
            if late > 1:  # it was stopped: nothing was taken meanwhile
                n, samples = n + round(late * chapter.rate), samples + round(late * SAMPLE_RATE)
            if over.wait(max(0.0, -late)):
                return
            container.mux(video.encode(_picture(chapter, n)))
            while audio and samples < (n + 1) * SAMPLE_RATE / chapter.rate:
                container.mux(audio.encode(_sound(chapter, samples)))
                samples += 1024
            n += 1


def _is_flash(seconds: float | np.ndarray) -> Any:
    return seconds % 1 < FLASH_SECONDS


def _picture(chapter: Chapter, n: int) -> av.VideoFrame:
    width, height = chapter.size
    luma = np.full((height, width), BRIGHT if _is_flash(n / chapter.rate) else DARK, np.uint8)
    luma[: height // 8, (5 * n) % (width - 16) :][:, :16] = 235  # something moves
    gray = av.VideoFrame.from_ndarray(luma, "gray")
    picture = gray.reformat(format=chapter.pix_fmt, dst_color_range="MPEG", src_color_range="MPEG")
    picture.pts, picture.time_base = round(90_000 * (chapter.first_seconds + n / chapter.rate)), Fraction(1, 90_000)
    return picture


def _sound(chapter: Chapter, first_sample: int) -> av.AudioFrame:
    seconds = np.arange(first_sample, first_sample + 1024) / SAMPLE_RATE
    wave = np.sin(2 * math.pi * TONE_HZ * seconds) * 0.5 * _is_flash(seconds)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[np.newaxis], "fltp", "mono")
    frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, 90_000)
    frame.pts = round(90_000 * (chapter.first_seconds + first_sample / SAMPLE_RATE))
    return frame


def offsets_seconds(path: Path) -> list[tuple[float, float]]:
    """Of each flash in a file: its time, and by how much its beep comes later.

    A flash before which a picture is missing is passed over, because no one can say when it began.
    """
    flashes, beeps = list(_flashes(path)), list(_beeps(path))
    offsets: list[tuple[float, float]] = []
    for flash in flashes:
        offset = min((beep - flash for beep in beeps), key=abs, default=math.inf)
        if abs(offset) < 0.5:
            offsets.append((flash, offset))
    return offsets


def _flashes(path: Path) -> Iterator[float]:
    with av.open(str(path)) as container:
        before, was_bright = -math.inf, True
        for picture in container.decode(video=0):
            assert picture.time is not None
            luma = picture.to_ndarray(format="gray")
            height, width = luma.shape
            is_bright = luma[height // 3 : -height // 3, width // 3 : -width // 3].mean() > BETWEEN
            if is_bright and not was_bright and picture.time - before < 0.045:
                yield picture.time
            before, was_bright = picture.time, is_bright


def _beeps(path: Path) -> Iterator[float]:
    with av.open(str(path)) as container:
        quiet_since = -math.inf
        for sound in container.decode(audio=0):
            assert sound.time is not None
            for at in np.flatnonzero(abs(sound.to_ndarray()[0]) > AUDIBLE):
                seconds = sound.time + at / SAMPLE_RATE
                if seconds - quiet_since > 0.3:
                    yield seconds
                quiet_since = seconds


def send_by_udp(host: str, port: int, chapters: Sequence[Chapter], over: threading.Event) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(data: bytes) -> None:
            for at in range(0, len(data), TS_PACKETS):
                with suppress(OSError):  # nobody listens, or no cable: it is sent all the same
                    sender.sendto(data[at : at + TS_PACKETS], (host, port))

        play(send, chapters, over)


def serve_by_http(
    host: str, port: int, path: str, chapters: Sequence[Chapter], password: str = "", *, one_by_one: bool = False
) -> http.server.ThreadingHTTPServer:
    """A server, which plays to each that asks from the first chapter on, or (`one_by_one`) one, the last again and
    again. `password`: user:password, if any."""
    turns = iter([chapter] for chapter in chapters)
    wanted = f"Basic {base64.b64encode(password.encode()).decode()}"

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if password and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                self.end_headers()
            elif self.path.partition("?")[0] != path:
                self.send_error(404)
            else:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                with suppress(OSError, av.FFmpegError):  # whoever watched has left
                    play(self.wfile.write, next(turns, chapters[-1:]) if one_by_one else chapters, threading.Event())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument(
        "--chapter", type=Chapter.parse, action="append", help="SECONDS,SIZE,RATE,PIX_FMT,FIRST_SECONDS"
    )
    parser.add_argument("--password", default="", help="USER:PASSWORD, for HTTP")
    arguments = parser.parse_args()
    parts = urlsplit(arguments.url)
    host, port, chapters = parts.hostname or "127.0.0.1", parts.port or 0, arguments.chapter or [Chapter()]
    if parts.scheme == "udp":
        print("READY", flush=True)  # noqa: T201
        send_by_udp(host, port, chapters, threading.Event())
    else:
        server = serve_by_http(host, port, parts.path, chapters, arguments.password)
        print("READY", server.server_address[1], flush=True)  # noqa: T201
        server.serve_forever()


if __name__ == "__main__":
    main()
