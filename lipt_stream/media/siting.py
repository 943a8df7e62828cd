"""Where a film's chroma samples sit between its luma samples, as its bitstream says.

PyAV does not hand the field out. FFmpeg's showinfo filter prints it, so its line is read through PyAV's log callback.
That callback takes Python's lock, and PyAV holds this lock while it frees a decoder and waits for the decoder's
threads: a thread that logs at that moment never ends. So the line is read while no thread of the film's decoder runs:
from a first picture decoded for this alone, by one thread, before the film's own decoder is opened; and once a file.
"""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final

import av.logging
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media.av_errors import AV_ERRORS
from lipt_stream.media.containers import open_film
from lipt_stream.media.decoder import DAMAGE, main_video

_STATED: Final = re.compile(r" cl:(\S+)")
_PACKETS: Final = 200  # how far a first picture is looked for


def stated_siting(path: Path) -> str | None:
    """FFmpeg's name of the chroma location of the film's first picture ("left", "center", "topleft", "top", ...).

    None where none is stated or no picture decodes. Call it before the film is opened for decoding.
    """
    try:
        file = path.stat()
    except OSError:
        return None
    return _of_file(path, file.st_mtime_ns, file.st_size)


@lru_cache(maxsize=64)
def _of_file(path: Path, modified_ns: int, size: int) -> str | None:
    del modified_ns, size  # they tell one file under a name from another
    try:
        with open_film(path) as container:
            stream = main_video(container, path)
            stream.thread_count = 1
            packets = islice(container.demux(stream), _PACKETS)
            picture = next((p for packet in packets for p in _decoded(stream, packet)), None)
            return None if picture is None else _shown(picture)
    except (InputError, *AV_ERRORS):
        return None  # whoever opens it next says so


def _decoded(stream: VideoStream, packet: Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return stream.codec_context.decode(packet)
    except DAMAGE:
        return []


def _shown(picture: VideoFrame) -> str | None:
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 1_000)
    )
    # Without side data the line is short and holds nothing that a film could put there.
    bare, show = graph.add("sidedata", "mode=delete"), graph.add("showinfo", "checksum=0")
    graph.link_nodes(source, bare, show, graph.add("buffersink")).configure()
    level = av.logging.get_level()
    try:
        with av.logging.Capture(local=True) as lines:
            av.logging.set_level(av.logging.INFO)
            graph.vpush(picture)
            graph.vpull()
    finally:
        av.logging.set_level(level)
    found = _STATED.search(" ".join(text for _, _, text in lines))
    return None if found is None or found[1] == "unspecified" else found[1]
