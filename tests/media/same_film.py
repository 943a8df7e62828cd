"""A film through FileSource and FileSink at scale 1, and when its pictures are shown by plain PyAV."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av

from lipt_stream.frame import END, Frame
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource


def through(source_path: Path, target: Path, encoder: str = "libx264", limit: int | None = None) -> list[str]:
    """Re-encodes the picture as it is, copies the rest, and returns the notes of both ends."""
    with closing(FileSource(source_path)) as source:
        options = {"libx264": {"preset": "veryfast"}, "libsvtav1": {"preset": "12"}}.get(encoder, {})
        choice = choose_encoder(encoder, options=options, bit_depth=source.format.bit_depth, suffix=target.suffix)
        sink = FileSink(target, source.format, encoder=choice, copy_from=source_path)
        planes = source.format.new_planes()
        while sink.frames_written != limit and (frame := source.read(planes)) is not END:
            assert isinstance(frame, Frame)
            sink.write(frame)
        sink.close()
        return source.notes + sink.notes


def times(path: Path, limit: int | None = None) -> list[Fraction | None]:
    """Presentation times by plain PyAV, damage skipped."""
    found: list[Fraction | None] = []
    with av.open(str(path), metadata_errors="surrogateescape") as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                found += [None if f.pts is None else f.pts * f.time_base for f in packet.decode()]
            except av.FFmpegError:
                continue
            if limit and len(found) >= limit:
                return found[:limit]
    return found
