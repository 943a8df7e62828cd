"""What a film holds, for a person to read: `lipt-stream doctor` and error reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.video.stream import VideoStream

from lipt_stream.media.containers import open_film


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


def describe(path: Path | str) -> FileInfo:
    """Reads headers only. Raises InputError."""
    path = Path(path)
    with open_film(path) as container:
        seconds = None if container.duration is None else container.duration / av.time_base
        streams = tuple(_stream_info(stream) for stream in container.streams)
        return FileInfo(path, container.format.name, seconds, path.stat().st_size, streams)


def _stream_info(stream: av.stream.Stream) -> StreamInfo:
    context = stream.codec_context
    codec = context.codec.canonical_name if context else "unknown"
    detail = ""
    if isinstance(stream, VideoStream) and context:
        rate = f" {float(stream.average_rate):.5g} fps" if stream.average_rate else ""
        detail = f"{context.width}x{context.height} {context.pix_fmt}{rate}"
    return StreamInfo(stream.type, codec, stream.language, detail)
