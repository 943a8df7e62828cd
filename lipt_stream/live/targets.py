"""What `--to` takes: a text -> where a live stream goes, in which container, and what fits in there."""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from lipt_stream.errors import SettingsError
from lipt_stream.media.encoded import EncodedStream
from lipt_stream.media.mux_wire import HLS_SEGMENTS, MuxJob, Place
from lipt_stream.media.redact import redact
from lipt_stream.media.virtual_camera import find_virtual_camera
from lipt_stream.media.whip_certificate import require_cryptography

Kind: TypeAlias = Literal["preview", "rtsp", "rtmp", "whip", "hls", "udp", "virtualcam", "null", "file"]

_NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})
# FFmpeg would wait so long for sound before it lets a picture go.
_PROMPT: Final = {"max_interleave_delta": "100000", "flush_packets": "1"}  # µs
# They grow in fragments, each playable without what follows. A segment becomes a plain MP4 at its end. What it knows of
# each packet until then takes 520 MB a day, with 30 pictures a second and sound: a file without an end stays as it is.
_MP4: Final = {"movflags": "delay_moov", "frag_duration": "1000000"}
_MP4_SEGMENT: Final = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
_FLV_SECONDS: Final = 20 * 24 * 3600  # FLV counts 2^31 milliseconds, which are 24.8 days (FLV 10.1, annex E.4.1)
_MATROSKA: Final = {"cluster_time_limit": "1000"}
# Sound that belongs just before the first keyframe of a file moves the file's clock, not the sound.
_FILE: Final = {"max_interleave_delta": "1000000", "flush_packets": "1", "avoid_negative_ts": "make_non_negative"}
_HLS: Final = {
    "hls_time": "2",  # s, at the next keyframe
    "hls_list_size": "6",
    "hls_segment_filename": HLS_SEGMENTS,
    "hls_flags": "delete_segments+append_list+independent_segments+program_date_time+temp_file",
}

_NO_FILE: Final = re.compile(r"(?:rtsps?|rtmps?|https?|udp|srt):", re.IGNORECASE)  # but an address with a slash less

_IN_MPEG_TS: Final = frozenset({"aac", "opus", "mp3", "mp2", "ac3", "eac3"})
_IN_HLS: Final = frozenset({"aac", "mp3", "ac3", "eac3"})
_IN_FLV: Final = frozenset({"aac", "mp3"})
_IN_MP4: Final = frozenset({"aac", "opus", "mp3", "ac3", "eac3"})
_IN_MATROSKA: Final = _IN_MP4 | {"mp2"}
_OVER_RTSP: Final = frozenset({"aac", "opus", "mp3", "mp2", "pcm_alaw", "pcm_mulaw"})
_OVER_WHIP: Final = frozenset({"opus"})
# No muxer is asked: FFmpeg's for FLV aborts on Opus.

_FORMS: Final = MappingProxyType(
    {
        "preview": "preview",
        "rtsp": "rtsp://HOST/PATH",
        "rtmp": "rtmp://HOST/APP/KEY",
        "whip": "whip:https://HOST/PATH",
        "hls": "hls:DIR",
        "udp": "udp://HOST:PORT",
        "virtualcam": "virtualcam",
        "null": "null",
        "file": "FILE.mp4, FILE.mkv or FILE.ts",
    }
)
"""The word that a text begins with -> the whole form."""
_FORMS_OF: Final = {**_FORMS, "rtsps": "rtsps://HOST/PATH", "rtmps": "rtmps://HOST/APP/KEY"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where packets go. `name` is for the eye and holds no password; `url` may, and is shown nowhere.

    `format` is FFmpeg's name of the container, empty for those without one (preview, null). `sound`: the codecs that
    fit in. `queue_seconds`: of pictures that may wait for it; those of a file may wait for a disk. `stall_seconds`: how
    long it may take nothing until it is ended and begun again. `longest_seconds`: after which it is begun again in any
    case, because its container's clock would run over.
    """

    name: str
    kind: Kind
    url: str = field(default="", repr=False)
    format: str = ""
    options: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    place: Place = "network"
    sound: frozenset[str] = frozenset()
    queue_seconds: float = 3
    stall_seconds: float = 5
    longest_seconds: float = math.inf
    segment_seconds: float = 0

    @property
    def takes_raw_pictures(self) -> bool:
        """Pictures as they are (media/raw_pictures.py), not encoded ones."""
        return self.kind == "virtualcam"

    @property
    def tells_rotation(self) -> bool:
        """Players turn the picture as the source says; of other containers' pictures they know nothing of it."""
        return self.kind in ("preview", "null") or self.format in ("mp4", "matroska")

    @property
    def wants_baseline(self) -> bool:
        """H.264 of the constrained baseline: some WebRTC servers refuse every other."""
        return self.kind == "whip"

    def job(self, streams: tuple[EncodedStream, ...]) -> MuxJob:
        """What the muxing process is told."""
        return MuxJob(
            url=self.url,
            format=self.format,
            options=dict(self.options),
            streams=streams,
            stall_seconds=self.stall_seconds,
            place=self.place,
            segment_seconds=self.segment_seconds,
        )


def parse_targets(texts: Sequence[str], segment_seconds: float = 0) -> list[Target]:
    """The targets that `--to` names. Raises SettingsError for an unknown one, and for
    `segment_seconds`, after which files are split, where no file is named; DeviceError for a virtual camera that is not
    there."""
    targets = [parse_target(text, segment_seconds) for text in texts]
    if segment_seconds < 0:
        raise SettingsError(f"--segment {segment_seconds:g} is no length of time", "Give seconds.")
    if segment_seconds and not any(target.place == "file" for target in targets):
        raise SettingsError("--segment splits files, and none is written", "Add --to FILE.mp4, or leave it out.")
    return targets


def parse_target(text: str, segment_seconds: float = 0) -> Target:
    """The target that one `--to` names; see `parse_targets`."""
    word, _, rest = text.partition(":")
    word = word.lower()
    address = f"{word}:{rest}"  # FFmpeg knows its protocols in small letters alone
    name = redact(text)
    if word in ("preview", "null") and not rest:
        return Target(name=name, kind=word)
    if sys.platform == "win32":
        raise SettingsError(f"Live streams go to {name} on Linux and macOS alone", "Here there is --to preview.")
    if word == "virtualcam":
        url = str(find_virtual_camera(rest))
        return Target(name=name, kind=word, url=url, format="v4l2", place="device", queue_seconds=0.5)
    if word == "hls" and rest:
        return _hls(name, Path(rest).absolute())
    if word == "whip" and rest.lower().startswith(("https://", "http://")):
        return _whip(name, rest)
    if word in ("rtsp", "rtsps", "rtmp", "rtmps", "udp") and rest.startswith("//"):
        _require_host(word, rest)
    if word in ("rtsp", "rtsps") and rest.startswith("//"):
        options = {"rtsp_transport": "tcp", **_PROMPT}
        return Target(name=name, kind="rtsp", url=address, format="rtsp", options=options, sound=_OVER_RTSP)
    if word in ("rtmp", "rtmps") and rest.startswith("//"):
        options = {"flvflags": "no_duration_filesize", **_PROMPT}
        return Target(
            name=name,
            kind="rtmp",
            url=address,
            format="flv",
            options=options,
            sound=_IN_FLV,
            longest_seconds=_FLV_SECONDS,
        )
    if word == "udp" and rest.startswith("//"):
        url = address if "pkt_size=" in rest else f"{address}{'&' if '?' in rest else '?'}pkt_size=1316"
        return Target(name=name, kind="udp", url=url, format="mpegts", options=_PROMPT, sound=_IN_MPEG_TS)
    if "://" not in text and not _NO_FILE.match(text):
        return _file(name, Path(text), segment_seconds)
    raise SettingsError(f"Live streams do not go to {name}", _nearest_form(word))


def _require_host(word: str, rest: str) -> None:
    """Raises SettingsError where there is none, or for UDP no port: it would be tried for ever."""
    authority = re.split(r"[/?#]", rest.removeprefix("//"), maxsplit=1)[0].rpartition("@")[2]
    host, _, port = authority.rpartition(":") if ":" in authority else (authority, "", "")
    if not host or (word == "udp" and not port.isdecimal()):
        raise SettingsError(
            f"The {word}:// address to send to has no {'port' if host else 'host'}", f"Write {_FORMS_OF[word]}."
        )


def _nearest_form(word: str) -> str:
    """The hint for an unknown text: the form that begins like it."""
    close = difflib.get_close_matches(word, _FORMS, n=1, cutoff=0.6)
    return f"Did you mean {_FORMS[close[0]]}?" if close else f"Known: {', '.join(_FORMS.values())}."


def _hls(name: str, folder: Path) -> Target:
    return Target(
        name=name,
        kind="hls",
        url=str(folder / "index.m3u8"),
        format="hls",
        options={**_HLS, **_PROMPT},
        place="folder",
        sound=_IN_HLS,
        stall_seconds=15,
    )


def _whip(name: str, url: str) -> Target:
    """A password in the address is what the server knows the publisher by (RFC 9725: a bearer token)."""
    require_cryptography()
    try:
        parts = urlsplit(url)
    except ValueError:  # which quotes it
        raise SettingsError(
            f"The address {name} cannot be read", "Write [ and ] as %5B and %5D, but around an IPv6 address."
        ) from None
    token = unquote(parts.password or parts.username or "")
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    options = {"authorization": token} if token else {}
    return Target(name=name, kind="whip", url=bare, format="whip", options={**options, **_PROMPT}, sound=_OVER_WHIP)


def _file(name: str, path: Path, segment_seconds: float) -> Target:
    known = {
        ".mp4": ("mp4", _MP4_SEGMENT if segment_seconds else _MP4, _IN_MP4),
        ".mkv": ("matroska", _MATROSKA, _IN_MATROSKA),
        ".ts": ("mpegts", _NO_OPTIONS, _IN_MPEG_TS),
    }
    if path.suffix.lower() not in known:
        word = "file" if path.suffix else name.partition(":")[0]
        raise SettingsError(f"Live streams do not go to {name}", _nearest_form(word))
    format, options, sound = known[path.suffix.lower()]
    return Target(
        name=name,
        kind="file",
        url=str(path.absolute()),
        format=format,
        options={**_FILE, **options},
        place="file",
        sound=sound,
        queue_seconds=30,
        stall_seconds=30,
        segment_seconds=segment_seconds,
    )
