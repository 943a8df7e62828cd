"""Which files are opened for reading, and which containers are written."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import av
from av.container import InputContainer
from av.error import ArgumentError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from lipt_stream.errors import InputError, OutputError
from lipt_stream.media.av_errors import AV_ERRORS, input_error, reading
from lipt_stream.media.late_in_flv import first_sound
from lipt_stream.media.late_streams import probing, probing_up_to

# Formats that may name other files or addresses, or are no files at all. A local playlist can point anywhere on the
# disk or the network, and FFmpeg follows it whatever `protocol_whitelist` says, so these are never opened.
_NOT_FILMS: Final = frozenset(
    {"avisynth", "concat", "dash", "hls", "image2", "image2pipe", "imf", "lavfi", "ffmetadata", "rtp", "rtsp", "sap"}
    | {"sdp", "vapoursynth", "webm_dash_manifest"}
    | {"alsa", "fbdev", "jack", "kmsgrab", "openal", "oss", "pulse", "sndio", "v4l2", "x11grab", "xcbgrab"}
)

_ADDRESS: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/(?P<rest>/?.*)", re.DOTALL)  # C:/ is a drive

CONTAINERS: Final[Mapping[str, str]] = MappingProxyType(
    {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
)
"""Suffix of a file that can be written -> FFmpeg's name of its container. All of them keep variable frame rates."""

# MOV alone holds the sound of old telephones (AMR).
_KIN: Final[Mapping[str, str]] = MappingProxyType({".3gp": ".mov", ".3g2": ".mov", ".qt": ".mov", ".f4v": ".mp4"})


def open_film(path: Path) -> InputContainer:
    """Opens a local file for reading, whatever its suffix says. Raises InputError."""
    refuse_address(str(path))
    with reading(path):
        is_film = path.is_file() or path.is_block_device() or not path.exists()  # FFmpeg says why there is none
    if path.is_dir():
        raise input_error(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
    if not is_film:
        raise InputError(f"Cannot read {path}: it is a pipe or a device, not a file", "Save the video to a file first.")
    container = _opened(path, {})
    with reading(path):
        options = _probing(path, container)
    if not options:
        return container
    container.close()
    return _opened(path, options)


def _probing(path: Path, container: InputContainer) -> dict[str, str]:
    """FFmpeg's options to find what begins late too, in kinds of files that have no list of their streams."""
    if container.format.name == "mpeg":
        return probing(path, {stream.id for stream in container.streams})
    if container.format.name == "flv" and not container.streams.audio:
        place = first_sound(path)
        return {} if place is None else probing_up_to([place])
    return {}


def _opened(path: Path, options: Mapping[str, str]) -> InputContainer:
    try:
        # The prefix keeps a name such as "a:b.mp4" from being taken for a protocol.
        return av.open(
            f"file:{path}",
            metadata_errors="surrogateescape",
            container_options={"format_whitelist": film_formats(), **options},
        )
    except ArgumentError as error:
        raise InputError(
            f"Cannot read {path}: a playlist, an image sequence or another kind that is not opened",
            "Name the video file itself.",
        ) from error
    except AV_ERRORS as error:
        raise input_error(error, path) from error


def packets_of(container: InputContainer, streams: Sequence[Stream]) -> Iterator[Packet[Any]]:
    """What `demux` gives. Raises what it raises, but for one error: where FFmpeg has met a stream that was not there
    when the film was opened, PyAV 18 may, behind the last packet, ask its list of streams for that one too."""
    with suppress(IndexError):
        yield from container.demux(*streams)


def share_decoding(stream: VideoStream, threads: int | None) -> None:
    """Lets `threads` (None: as many as there are cores) decode the slices of a picture; but H.264 one alone.

    Not pictures beside each other: an error in one of those in flight, met when the decoder is drained at the end of a
    film cut short, loses the good ones behind it, for PyAV then asks no further. And damaged pictures of H.264 are
    concealed only where no threads share them. Before the decoder is opened.
    """
    stream.thread_type = "SLICE"  # pyright: ignore[reportAttributeAccessIssue] the setter takes the name
    is_h264 = stream.codec_context.codec.canonical_name == "h264"
    stream.thread_count = 1 if is_h264 else threads or 0


def refuse_address(name: str) -> None:
    """Raises InputError for an address such as rtsp://host/x, of which a path may have kept one slash."""
    match = _ADDRESS.fullmatch(name)
    with reading(Path(name)):
        if match is None or Path(name).exists():
            return
    if match["scheme"].lower() == "file":
        raise InputError(f"Cannot read {name}: addresses are not read", "Give the path of the file alone.")
    host = match["rest"].lstrip("/").partition("?")[0].rpartition("@")[2]  # no password is ever shown
    raise InputError(
        f"Cannot read {match['scheme']}://{host}: addresses are not read, only local files",
        "Save the video to a file first.",
    )


def container_format(path: Path) -> str:
    """FFmpeg's name of the container that `path`'s suffix asks for. Raises OutputError for those not written."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        known = ", ".join(sorted(CONTAINERS))
        raise OutputError(f"Cannot write {path}: no container for '{path.suffix}'", f"Use one of {known}.") from None


def writable_suffix(source: Path) -> str:
    """The suffix for a result made from `source`: its own where that is written, else that of its kin, else .mkv, which
    holds the most."""
    suffix = source.suffix.lower()
    return suffix if suffix in CONTAINERS else _KIN.get(suffix, ".mkv")


@cache
def film_formats() -> str:
    """FFmpeg's names of all containers that hold their pictures themselves, as `format_whitelist` takes them."""
    names = {name for name in av.formats_available if not _NOT_FILMS & set(name.split(","))}
    return ",".join(sorted(names))


def plays(path: Path) -> bool:
    """Whether a picture can be decoded from `path`."""
    try:
        with av.open(f"file:{path}") as container:
            return any(True for _ in container.decode(*container.streams.video[:1]))
    except AV_ERRORS:
        return False
