from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lipt_stream.errors import SettingsError
from lipt_stream.media.live_address import live_address


@pytest.mark.parametrize(
    ("text", "platform", "url", "format"),
    [
        ("webcam", "linux", "/dev/video0", "v4l2"),
        ("webcam:2", "linux", "/dev/video2", "v4l2"),
        ("webcam:/dev/v4l/by-id/usb-cam", "linux", "/dev/v4l/by-id/usb-cam", "v4l2"),
        ("webcam:1", "darwin", "1:none", "avfoundation"),
        ("webcam:HD Camera", "win32", "HD Camera", "dshow"),
        ("screen", "win32", "desktop", "gdigrab"),
        ("screen", "darwin", "Capture screen 0:none", "avfoundation"),
    ],
)
def test_devices_by_the_same_word_everywhere(text: str, platform: str, url: str, format: str) -> None:
    address = live_address(text, platform=platform)
    assert (address.kind, address.url, address.format) == (text.partition(":")[0], url, format)


def test_what_is_asked_of_a_webcam() -> None:
    asked: dict[str, Any] = {"size": "1280x720", "rate": 29.97, "pix_fmt": "mjpeg"}
    linux = live_address("webcam", **asked, platform="linux").options
    assert linux == {"video_size": "1280x720", "framerate": "29.97", "input_format": "mjpeg"}
    assert live_address("webcam", pix_fmt="mjpeg", platform="win32").options == {"vcodec": "mjpeg"}
    assert live_address("webcam", pix_fmt="nv12", platform="win32").options == {"pixel_format": "nv12"}
    assert live_address("screen", size="640x480", platform="linux").options["framerate"] == "30"


def test_the_screen_is_the_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":7.1")
    assert live_address("screen", platform="linux").url == ":7.1"


@pytest.mark.parametrize(
    ("text", "size", "rate"),
    [
        ("", (640, 360), 30),
        ("test", (640, 360), 30),
        ("test:1280x720", (1280, 720), 30),
        ("test:320x180@12.5", (320, 180), Fraction(25, 2)),
    ],
)
def test_test_pictures(text: str, size: tuple[int, int], rate: Fraction) -> None:
    address = live_address(text)
    assert (address.kind, address.size, address.rate) == ("test", size, rate)


def test_network_addresses_and_what_ffmpeg_may_open_for_them() -> None:
    rtsp = live_address("RTSP://admin:se%40cret@cam:554/x", transport="udp")
    assert (rtsp.kind, rtsp.format, rtsp.options["rtsp_transport"]) == ("rtsp", "rtsp", "udp")
    assert rtsp.url == "rtsp://admin:se%40cret@cam:554/x"
    assert live_address("rtmp://h/app/key").format == "flv"
    assert live_address("udp://@239.0.0.1:5000").format == "mpegts"
    http = live_address("https://h/live.m3u8")
    assert http.options["max_redirects"] == "0"
    assert live_address("http://h/x", max_redirects=2).options["max_redirects"] == "2"
    for text in ("rtsp://h/x", "rtmp://h/x", "http://h/x", "udp://h:1"):
        options = live_address(text).options
        assert not {"file", "pipe", "concat", "subfile"} & set(options["protocol_whitelist"].split(","))
    assert {"hls", "mpjpeg", "mpegts"} <= set(http.options["format_whitelist"].split(","))
    assert not {"concat", "sdp", "lavfi", "rtsp", "dash"} & set(http.options["format_whitelist"].split(","))


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://admin:s3cret@cam/x",
        "http://cam/x?password=s3cret",
        "rtsp://admin:12/s3cret@cam/x",
        "rtmp://s3cret@cam/app",
        "rtmp://cam/app/s3cret",
        "rtmp://cam/s3cret?x=/y",
        "http://cam/x?u=a&p=s3cret",
    ],
)
def test_no_password_is_shown(text: str) -> None:
    address = live_address(text)
    assert "s3cret" not in address.shown
    assert "s3cret" not in repr(address)
    assert "cam" in address.shown


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("webcm:0", "webcam"),
        ("rtps://admin:s3cret@cam/x", "rtsp://"),
        ("srt://cam:1", "Did you mean"),
        ("file:///etc/passwd", "path alone"),
        ("rtsp:/cam/x", "rtsp://"),
        ("admin:s3cret@cam/x", "rtsp://"),
        ("rtsp://admin:s3/cret@cam/x", "%2F"),
        ("rtsp://admin:p@s3cret/w@cam/x", "%40"),
        ("rtsp://admin:s3cret x@cam/x", "a space as %20"),
        ("rtsp://cam:99999/x", "behind the host"),
        ("rtsp:///x", "rtsp://192"),
        ("udp://cam", "udp://0.0.0.0:5000"),
        ("webcam:front", "webcam:1"),
        ("test:0x0", "64 to"),
        ("test:big", "test:1280x720"),
        ("test:640x360@1000", "240"),
        ("lavfi", "Known"),
    ],
)
def test_what_is_no_source_is_refused_with_what_would_be(text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        live_address(text, platform="linux")
    assert hint in refusal.value.hint
    assert "s3" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("test", {"size": "640x480"}),
        ("rtsp://h/x", {"rate": 30}),
        ("screen", {"pix_fmt": "mjpeg"}),
        ("webcam", {"loop": True}),
        ("webcam", {"size": "640"}),
        ("webcam", {"size": "640x480,foo"}),
        ("webcam", {"rate": 0.0001 - 1}),
        ("webcam", {"rate": float("nan")}),
        ("webcam", {"pix_fmt": "mjpeg:x"}),
    ],
)
def test_options_that_make_no_sense_are_refused(text: str, options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        live_address(text, **options)


def test_a_file_is_whatever_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("test", "a:b", "x@y"):
        (tmp_path / name).touch()
    assert live_address("a:b").kind == live_address("./test").kind == live_address("x@y").kind == "file"
    assert live_address("test").kind == "test"
    assert live_address("not/there").kind == live_address("not_there.mp4").kind == "file"
    assert live_address("lavfi:movie=/etc/passwd").kind == "file", "a file's name, never a filter"
    assert live_address("a:b", loop=True).loop
