"""A film through FileSource and FileSink, and the packets of a stream that is copied on the way."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av

from lipt_stream.frame import END, Frame
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource

X264 = choose_encoder("libx264", options={"preset": "ultrafast"})


def through(source_path: Path, target: Path, **cut: float) -> FileSink:
    """The film re-encoded as it is, the rest copied."""
    source = FileSource(source_path, **cut)
    sink = FileSink(target, source.format, encoder=X264, copy_from=source_path, **cut)
    planes = source.format.new_planes()
    while (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        sink.write(frame)
    sink.close()
    source.close()
    return sink


def packets(path: Path, kind: str, index: int = 0) -> list[tuple[Fraction, str]]:
    """Presentation time and hash of every packet of one copied stream."""
    with av.open(str(path)) as container:
        stream = container.streams.get({kind: index})[0]
        return [
            (packet.pts * packet.time_base, hashlib.sha256(bytes(packet)).hexdigest())
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None
        ]
