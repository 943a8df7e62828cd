"""What a film holds, for a person to read: `lipt-stream doctor` and error reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
from av.error import FFmpegError
from av.stream import Stream
from av.video.stream import VideoStream

from lipt_stream.media.containers import open_film

# What films come in. A wheel of av has them all; a build from source may lack any.
COMMON_DECODERS: Final = (
    *("h264", "hevc", "av1", "vp8", "vp9", "mpeg1video", "mpeg2video", "mpeg4", "h263", "theora", "vc1", "wmv3"),
    *("prores", "dnxhd", "ffv1", "mjpeg", "rawvideo"),
)


@dataclass(frozen=True, slots=True)
class StreamInfo:
    kind: str
    codec: str
    language: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file's container, duration (None where it does not tell) and streams."""

    path: Path
    container: str
    duration_seconds: float | None
    size_bytes: int
    streams: tuple[StreamInfo, ...]

    def __str__(self) -> str:
        duration = "unknown duration" if self.duration_seconds is None else f"{self.duration_seconds:.2f} s"
        lines = [f"{self.path}: {self.container}, {duration}, {self.size_bytes} bytes"]
        lines += [f"  {s.kind} {s.codec} {s.detail} {s.language or ''}".rstrip() for s in self.streams]
        return "\n".join(lines)


def missing_decoders() -> list[str]:
    """Which of COMMON_DECODERS this build of FFmpeg cannot open."""
    missing: list[str] = []
    for name in COMMON_DECODERS:
        try:
            av.CodecContext.create(name, "r")
        except (FFmpegError, ValueError):
            missing.append(name)
    return missing


def describe(path: Path | str) -> FileInfo:
    """Reads headers only. Raises InputError."""
    path = Path(path)
    with open_film(path) as container:
        seconds = None if container.duration is None else container.duration / av.time_base
        streams = tuple(_stream_info(stream) for stream in container.streams)
        return FileInfo(path, container.format.name, seconds, path.stat().st_size, streams)


def _stream_info(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context else "unknown"
    detail = ""
    if isinstance(stream, VideoStream) and context:
        rate = f" {float(stream.average_rate):.5g} fps" if stream.average_rate else ""
        detail = f"{stream.width}x{stream.height} {stream.pix_fmt}{rate}"
    return StreamInfo(stream.type, codec, stream.language, detail)
