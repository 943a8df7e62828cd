"""Films as tests look at them: sent from a source to a file, and when what is in it is shown."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource


def through(source_path: Path, target: Path, **cut: float) -> list[str]:
    """Each picture as it is, beside all that is copied. Returns the notes."""
    with closing(FileSource(source_path, **cut)) as source:
        sink = FileSink(target, source.format, encoder=choose_encoder("libx264"), copy_from=source_path, **cut)
        planes = source.format.new_planes()
        while (frame := source.read(planes)) is not END:
            assert isinstance(frame, Frame)
            sink.write(frame)
        sink.close()
        return source.notes + sink.notes


def flat_picture(
    number: int, level: int = 16, size: tuple[int, int] = (64, 48), pix_fmt: str = "yuv420p"
) -> av.VideoFrame:
    """All of one level, the one with this number at 25 a second. (PyAV's own new pictures hold what was in memory.)"""
    picture = av.VideoFrame(*size, pix_fmt)
    for plane in picture.planes:
        np.frombuffer(plane, np.uint8)[:] = level
    picture.pts, picture.time_base = number, Fraction(1, 25)
    return picture


def read_film(path: Path) -> tuple[VideoFormat, list[Frame]]:
    """Its format and its frames, whose planes are all the last one's."""
    source = FileSource(path)
    return source.format, frames_of(source)


def frames_of(source: FileSource) -> list[Frame]:
    """All that is left of it, in the same planes. It is closed then."""
    planes = source.format.new_planes()
    frames: list[Frame] = []
    while (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        frames.append(frame)
    source.close()
    return frames


def jpeg(size: tuple[int, int], grey: int) -> bytes:
    """A picture of one gray, coded."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 25)
    picture = av.VideoFrame(*size, "yuvj420p")
    for plane in picture.planes:
        plane.update(bytes([grey]) * plane.buffer_size)
    picture.pts = 0
    return b"".join(bytes(packet) for packet in encoder.encode(picture))


def times(path: Path, kind: str) -> list[float]:
    """Of the packets of the first stream of that kind, in order, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.get({kind: 0})[0]
        return sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.size and p.pts is not None)
