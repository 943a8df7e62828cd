"""Cover pictures: stills attached to a film, kept where the container has a place for them."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from av.container import OutputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from lipt_stream.media.av_errors import reading
from lipt_stream.media.containers import open_film
from lipt_stream.media.tags import readable

_MIME_TYPES: Final = {"mjpeg": ("image/jpeg", "jpg"), "png": ("image/png", "png")}


@dataclass(frozen=True, slots=True)
class Cover:
    """A still and the stream that it came in. `data` is a whole JPEG or PNG file."""

    stream: VideoStream
    data: bytes

    def attach(self, container: OutputContainer) -> Packet[Stream] | None:
        """Adds the cover before the header is written. What is returned must be muxed after it.

        Matroska keeps covers as attachments, which its reader shows as pictures; MP4 as a stream of one packet.
        """
        mime_type, suffix = _MIME_TYPES[self.stream.codec_context.codec.canonical_name]
        if container.format.name == "matroska":
            name = readable(self.stream.metadata.get("filename", f"cover.{suffix}"))
            container.add_attachment(name, mime_type, self.data)
            return None
        target = container.add_stream_from_template(self.stream, opaque=True)
        target.disposition = Disposition.attached_pic
        packet = Packet(self.data)
        packet.pts = packet.dts = 0
        packet.stream = target
        return packet


def read_cover(source: Path, stream: VideoStream, target_format: str) -> Cover | None:
    """The picture in `stream` of `source`; None where it is damaged or `target_format` has no place for such a one.

    Raises InputError.
    """
    context = stream.codec_context
    if context is None or context.codec.canonical_name not in _MIME_TYPES:  # pyright: ignore[reportUnnecessaryComparison]
        return None
    if target_format not in ("matroska", "mp4"):
        return None
    with open_film(source) as container, reading(source):
        data = next((bytes(packet) for packet in container.demux(container.streams[stream.index]) if packet.size), b"")
    return Cover(stream, data) if data else None
