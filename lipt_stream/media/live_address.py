"""What a user calls a live source, as FFmpeg opens it, and as it may be shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from lipt_stream.errors import SettingsError, nearest
from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import film_formats
from lipt_stream.media.redact import redact

LiveKind: TypeAlias = Literal["webcam", "screen", "rtsp", "rtmp", "http", "udp", "file", "test"]

_SCHEMES: Final[Mapping[str, LiveKind]] = MappingProxyType(
    {"rtsp": "rtsp", "rtsps": "rtsp", "rtmp": "rtmp", "rtmps": "rtmp", "http": "http", "https": "http", "udp": "udp"}
)
_FORMS: Final = ("webcam", "screen", "test", *(f"{scheme}://" for scheme in _SCHEMES))
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%25?[\w.-]+)?\]|[\w.-]*)(?::(?P<port>\d*))?")
_TEST: Final = re.compile(r"(\d+)x(\d+)(?:@(\d+(?:\.\d+|/[1-9]\d*)?))?")
_SIZE: Final = re.compile(r"[1-9]\d*x[1-9]\d*")
_FASTEST_FPS: Final = 240
_TEST_SIDES: Final = range(64, 8193)

# What each kind may open beneath itself. A playlist that came over HTTP therefore opens no file, and a file no network.
_PROTOCOLS: Final[Mapping[LiveKind, str]] = MappingProxyType(
    {
        "rtsp": "rtp,udp,tcp,tls",
        "rtmp": "rtmp,rtmps,tcp,tls",
        "http": "http,https,httpproxy,tcp,tls,crypto",
        "udp": "udp",
    }
)
# First pictures soon: a second of probing at most, three pictures to tell the rate by, and what was probed is kept,
# because its keyframe is the one that a camera sends on connection. Over RTSP the first picture then comes after about
# 0.5 s; with FFmpeg's defaults after 1.1 s, with `nobuffer`, which throws that keyframe away, after one more interval.
_PROBE: Final = {"fpsprobesize": "3", "probesize": "1000000", "analyzeduration": "1000000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAddress:
    """One live source. `url` may hold credentials and is never to be shown; `shown` holds none.

    `format` is FFmpeg's name of the format where it is certain, `options` what FFmpeg is told. `size` (width, height)
    and `rate` belong to the test picture alone, `loop` to a file: it begins again where it ends.
    """

    kind: LiveKind
    url: str = field(repr=False)
    shown: str
    format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    size: tuple[int, int] = (640, 360)
    rate: Fraction = Fraction(30)
    loop: bool = False


def live_address(
    text: str,
    *,
    size: str | None = None,
    rate: float | None = None,
    pix_fmt: str | None = None,
    transport: Literal["tcp", "udp"] = "tcp",
    loop: bool = False,
    max_redirects: int = 0,
    platform: str = sys.platform,
) -> LiveAddress:
    """Reads what a user typed: `webcam[:N|:DEVICE]`, `screen`, `rtsp://`, `rtmp://`, `http(s)://`, `udp://`, a file's
    path, `test[:WxH@FPS]`; "" is `test`. A file called like one of the words is named with its folder: `./test`.

    `size` ("640x480") and `rate` (pictures a second) are asked of a webcam or the screen, `pix_fmt` of a webcam:
    FFmpeg's name of a pixel format, or of the codec in which the camera sends ("mjpeg", "h264"). `transport` is RTSP's.
    `max_redirects` bounds how often an HTTP server may send elsewhere; 0 follows none. `platform`: as `sys.platform`.

    Raises SettingsError, which never quotes what may be a password.
    """
    word, _, rest = text.partition(":")
    scheme = _SCHEME.fullmatch(text)
    if scheme:
        address = _network(scheme[1].lower(), scheme[2], transport, max_redirects)
    elif word == "webcam":
        address = _webcam(rest, _device_options(size, rate, pix_fmt, platform), platform)
    elif text == "screen":
        address = _screen(_device_options(size, rate, None, platform), platform)
    elif word == "test" or not text:
        address = _test(text, rest)
    else:
        address = _file(text, loop)
    _refuse_idle(address.kind, size=size, rate=rate, pix_fmt=pix_fmt, loop=loop, transport=transport == "udp")
    return address


def _refuse_idle(kind: LiveKind, **given: object) -> None:
    """An option that would do nothing is refused."""
    used_by = {
        "size": {"webcam", "screen"},
        "rate": {"webcam", "screen"},
        "pix_fmt": {"webcam"},
        "loop": {"file"},
        "transport": {"rtsp"},
    }
    for name, value in given.items():
        if value and kind not in used_by[name]:
            raise SettingsError(
                f"A source of kind '{kind}' has no {name}", f"It is for: {', '.join(sorted(used_by[name]))}."
            )


def _network(scheme: str, rest: str, transport: str, max_redirects: int) -> LiveAddress:
    kind = _SCHEMES.get(scheme)
    if kind is None:
        hint = "Give the path alone." if scheme == "file" else nearest(f"{scheme}://", _FORMS)
        raise SettingsError(f"No live source is called {scheme}://", hint)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :].partition("?")[0]
    user, _, host = authority.rpartition("@")
    place = _HOST.fullmatch(host)
    if re.search(r"[\s\x00-\x1f]", rest) or place is None or (user and "@" in path):
        raise SettingsError(
            f"Cannot read the {scheme}:// address: after the password no host[:port] is found",
            "In a name or password write @ as %40, / as %2F, : as %3A, # as %23, ? as %3F, a space as %20.",
        )
    if int(place["port"] or 0) > 65535:
        raise SettingsError(f"The {scheme}:// address has a port above 65535", "Check the number behind the host.")
    if kind == "udp" and not place["port"]:
        raise SettingsError("A udp:// address needs a port", "For instance udp://0.0.0.0:5000.")
    if kind != "udp" and not host:
        raise SettingsError(f"The {scheme}:// address names no host", f"For instance {scheme}://192.168.1.20/stream.")
    options = {"protocol_whitelist": _PROTOCOLS[kind], **_PROBE}
    if kind == "rtsp":
        options |= {"rtsp_transport": transport}
    elif kind == "http":
        options |= {"max_redirects": str(max_redirects), "format_whitelist": f"{film_formats()},hls"}
    elif kind == "udp":
        options |= {"overrun_nonfatal": "1", "reuse": "1"}
    url = f"{scheme}://{rest}"
    formats: dict[LiveKind, str] = {"rtsp": "rtsp", "rtmp": "flv", "udp": "mpegts"}
    return LiveAddress(kind=kind, url=url, shown=redact(url), format=formats.get(kind), options=options)


def _device_options(size: str | None, rate: float | None, pix_fmt: str | None, platform: str) -> dict[str, str]:
    options: dict[str, str] = {}
    if size is not None:
        if not _SIZE.fullmatch(size):
            raise SettingsError(f"'{size}' is no size of a picture", "Write it as 640x480.")
        options["video_size"] = size
    if rate is not None:
        if not 0 < rate <= _FASTEST_FPS:
            raise SettingsError(f"{rate:g} pictures a second cannot be asked for", f"At most {_FASTEST_FPS}.")
        options["framerate"] = f"{rate:g}"
    if pix_fmt is not None:
        if not re.fullmatch(r"[a-z0-9_]+", pix_fmt):
            raise SettingsError(f"'{pix_fmt}' is no name of a pixel format", "For instance mjpeg, yuyv422 or h264.")
        is_codec = pix_fmt in ("mjpeg", "h264", "hevc")
        names = {"linux": "input_format", "win32": "vcodec" if is_codec else "pixel_format"}
        options[names.get(platform, "pixel_format")] = pix_fmt
    return options


def _webcam(which: str, options: dict[str, str], platform: str) -> LiveAddress:
    """`which`: "" or a number, or the device's own name."""
    which = which or "0"
    shown = f"webcam:{which}"
    if platform == "win32":
        return LiveAddress(kind="webcam", url=which, shown=shown, format="dshow", options=options)
    if platform == "darwin":
        # AVFoundation refuses cameras whose own rate is not the one asked for, and asks for 29.97 unless told.
        options = {"framerate": "30", **options}
        return LiveAddress(kind="webcam", url=f"{which}:none", shown=shown, format="avfoundation", options=options)
    device = f"/dev/video{which}" if which.isdecimal() else which
    if not device.startswith("/dev/"):
        raise SettingsError(f"'{which}' is no webcam", "Write webcam, webcam:1 or webcam:/dev/video1.")
    return LiveAddress(kind="webcam", url=device, shown=f"webcam:{device}", format="v4l2", options=options)


def _screen(options: dict[str, str], platform: str) -> LiveAddress:
    urls = {"win32": ("desktop", "gdigrab"), "darwin": ("Capture screen 0:none", "avfoundation")}
    url, format = urls.get(platform, (os.environ.get("DISPLAY", ":0"), "x11grab"))
    return LiveAddress(kind="screen", url=url, shown="screen", format=format, options={"framerate": "30", **options})


def _test(text: str, wanted: str) -> LiveAddress:
    if text in ("", "test"):
        return LiveAddress(kind="test", url="", shown="test:640x360@30")
    match = _TEST.fullmatch(wanted)
    if not match:
        raise SettingsError(f"'{text}' is no test picture", "Write test, test:1280x720 or test:1280x720@25.")
    size, rate = (int(match[1]), int(match[2])), Fraction(match[3] or 30)
    if not all(side in _TEST_SIDES for side in size) or not 1 <= rate <= _FASTEST_FPS:
        raise SettingsError(
            f"'{text}' is no test picture that can be made",
            f"Sides from {_TEST_SIDES[0]} to {_TEST_SIDES[-1]} and 1 to {_FASTEST_FPS} pictures a second.",
        )
    return LiveAddress(kind="test", url="", shown=f"test:{size[0]}x{size[1]}@{rate}", size=size, rate=rate)


def _file(text: str, loop: bool) -> LiveAddress:
    path, word = Path(text), text.partition(":")[0]
    with reading(path):
        exists = path.exists()
    if exists or (word not in _SCHEMES and "@" not in text and (path.suffix or "/" in text)):
        return LiveAddress(kind="file", url=text, shown=text, loop=loop)
    if word in _SCHEMES or "@" in text:
        raise SettingsError("There is no such file, and an address begins otherwise", "As in rtsp://camera/stream.")
    raise SettingsError(f"No live source is called '{word}'", nearest(word, _FORMS))
