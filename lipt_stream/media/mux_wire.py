"""What is said between a live sink and its muxing process: a job and packets down one pipe, reports up the other.

Down: the job as JSON behind its length in four bytes, then packets, each a fixed header and its data. The address, with
the password it may hold, goes this way and no other: a process list shows arguments, and /proc shows the environment.
Up: one JSON object a line, of the fields of `Report`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO, Final, Literal, TypeAlias

from lipt_stream.media.encoded import EncodedPacket, EncodedStream

_LENGTH: Final = struct.Struct("!I")
_PACKET: Final = struct.Struct("!BBqqqI")  # is it sound, is it a keyframe, pts, dts, duration, bytes of data

HLS_SEGMENTS: Final = "live-%06d.ts"
"""Names of the files beside an HLS playlist."""

HLS_SEGMENT: Final = re.compile(r"live-\d{6,}\.ts(?:\.tmp)?")
"""One of them, whole or still being written."""

Place: TypeAlias = Literal["network", "file", "folder", "device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MuxJob:
    """What is written where. `url` is what FFmpeg opens; of a file it is the path that names are made from, of a folder
    the path of the playlist in it.

    `stall_seconds` is how long opening, one packet or the end may take; after that the process ends itself.
    `segment_seconds` (files): a new file begins at the first keyframe after so long; 0: never.
    """

    url: str
    format: str
    options: dict[str, str]
    streams: tuple[EncodedStream, ...]
    stall_seconds: float
    place: Place = "network"
    segment_seconds: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One line from the muxing process. `written`: packets of pictures that the muxer took so far.

    `is_silent`: the other side took the pictures without their sound. `error`: why the process ends, in plain words
    without any address; `is_hopeless`: it would end so every time.
    """

    written: int = 0
    is_open: bool = False
    is_silent: bool = False
    path: str = ""  # of the file that is being written
    error: str = ""
    is_hopeless: bool = False


def pack_job(job: MuxJob) -> bytes:
    fields: dict[str, Any] = dataclasses.asdict(job)
    for stream in fields["streams"]:
        stream["extradata"] = stream["extradata"].hex()
        stream["time_base"], stream["frame_rate"] = str(stream["time_base"]), str(stream["frame_rate"])
    text = json.dumps(fields).encode()
    return _LENGTH.pack(len(text)) + text


def pack_packet(packet: EncodedPacket) -> bytes:
    is_sound = packet.kind == "audio"
    header = (is_sound, packet.is_keyframe, packet.pts, packet.dts, packet.duration, len(packet.data))
    return _PACKET.pack(*header) + packet.data


def read_job(pipe: BinaryIO) -> MuxJob:
    """Raises EOFError where the pipe ends before the job does."""
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    fields = json.loads(_read(pipe, length))
    streams: list[EncodedStream] = []
    for stream in fields.pop("streams"):
        stream["extradata"] = bytes.fromhex(stream["extradata"])
        stream["time_base"], stream["frame_rate"] = Fraction(stream["time_base"]), Fraction(stream["frame_rate"])
        streams.append(EncodedStream(**stream))
    return MuxJob(streams=tuple(streams), **fields)


def read_packets(pipe: BinaryIO) -> Iterator[EncodedPacket]:
    """Packets until the pipe ends; a packet that is cut short there is not one."""
    try:
        while True:
            header = _PACKET.unpack(_read(pipe, _PACKET.size))
            is_sound, is_keyframe, pts, dts, duration, size = header
            yield EncodedPacket(
                kind="audio" if is_sound else "video",
                data=_read(pipe, size),
                pts=pts,
                dts=dts,
                duration=duration,
                is_keyframe=bool(is_keyframe),
            )
    except EOFError:
        return


def pack_report(report: Report) -> bytes:
    return json.dumps(dataclasses.asdict(report)).encode() + b"\n"


def read_report(line: bytes) -> Report:
    return Report(**json.loads(line))


def _read(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
