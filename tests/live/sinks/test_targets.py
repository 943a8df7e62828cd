"""What `--to` takes, and what it says to everything else."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.live.targets import parse_target, parse_targets


@pytest.mark.parametrize(
    ("text", "kind", "format"),
    [
        ("preview", "preview", ""),
        ("null", "null", ""),
        ("rtsp://host/a", "rtsp", "rtsp"),
        ("RTSP://host/a", "rtsp", "rtsp"),
        ("rtmp://host/app/key", "rtmp", "flv"),
        ("rtmps://host/app/key", "rtmp", "flv"),
        ("whip:https://host/a", "whip", "whip"),
        ("hls:out/dir", "hls", "hls"),
        ("udp://239.0.0.1:1234", "udp", "mpegts"),
        ("udp://[ff02::1]:1234?ttl=2", "udp", "mpegts"),
        ("rtsp://me:wo/rd@host:8554/a", "rtsp", "rtsp"),
        ("film.mp4", "file", "mp4"),
        ("a/b: c.MKV", "file", "matroska"),
        ("film.ts", "file", "mpegts"),
    ],
)
def test_forms(text: str, kind: str, format: str) -> None:
    target = parse_target(text)
    assert (target.kind, target.format) == (kind, format)
    if target.place in ("file", "folder"):
        assert Path(target.url).is_absolute()


@pytest.mark.parametrize("text", ["RTMP://Host/App/Key", "Rtsp://Host/A", "UDP://Host:1"])
def test_a_scheme_in_capitals_is_given_to_ffmpeg_in_small_letters(text: str) -> None:
    scheme, rest = text.split(":", 1)
    assert parse_target(text).url.startswith(f"{scheme.lower()}:{rest}")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("previw", "preview"),
        ("rtps://host/a", "rtsp://HOST/PATH"),
        ("whip:host", "whip:https://HOST/PATH"),
        ("hls:", "hls:DIR"),
        ("rtsp:host", "rtsp://HOST/PATH"),
        ("film.avi", "FILE.mp4"),
        ("", "preview"),
        ("ftp://host/a", "Known"),
        ("rtsp:/me:hush@host/a", "rtsp://HOST/PATH"),
        ("rtmp:/host/app/hush.ts", "rtmp://HOST/APP/KEY"),
        ("me:hush@host/a", "Known"),
        ("whip:https://[bad/x", "%5B"),
        ("whip:https://hu[sh:hush@host/x", "%5B"),
        ("rtsp://", "rtsp://HOST/PATH"),
        ("rtmps://me:hush@/app", "rtmps://HOST/APP/KEY"),
        ("udp://239.0.0.1", "udp://HOST:PORT"),
        ("udp://[ff02::1]", "udp://HOST:PORT"),
    ],
)
def test_unknown_forms_are_refused_with_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_target(text)
    assert hint in caught.value.hint
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_no_name_holds_a_secret() -> None:
    secrets = {
        "rtsp://me:hush@host/a?token=hush": "rtsp://***@host/a?token=***",
        "rtmp://host/app/hush": "rtmp://host/app/***",
        "rtmp://host/hush": "rtmp://host/***",
        "rtmp://host/app/hush?a=/hush/c": "rtmp://host/app/***",
        "whip:https://hush@host/a": "whip:https://***@host/***",
        "whip:https://host/hush/webRTC/publish": "whip:https://host/***",
        "ftp://me:hu@sh@host/a": "ftp://***@host/a",
    }
    for text, shown in secrets.items():
        if text.startswith("ftp"):
            with pytest.raises(SettingsError) as caught:
                parse_target(text)
            assert shown in str(caught.value)
        else:
            assert parse_target(text).name == shown
            assert "hush" not in repr(parse_target(text))


def test_segments_are_for_files() -> None:
    assert [target.segment_seconds for target in parse_targets(["preview", "a.mp4"], 60)] == [0, 60]
    with pytest.raises(SettingsError):
        parse_targets(["preview"], 60)
    with pytest.raises(SettingsError):
        parse_targets(["a.mp4"], -1)


def test_a_virtual_camera_that_is_not_there_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeviceError):
        parse_target(f"virtualcam:{tmp_path / 'video7'}")
    monkeypatch.setattr(Path, "open", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(DeviceError, match=r"video7 may not be opened: Permission denied\. Join the group"):
        parse_target(f"virtualcam:{tmp_path / 'video7'}")
    monkeypatch.undo()
    if not any(Path("/dev").glob("video*")):
        with pytest.raises(DeviceError, match="modprobe v4l2loopback"):
            parse_target("virtualcam")
