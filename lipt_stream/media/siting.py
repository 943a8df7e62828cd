"""Where a picture's chroma samples sit between its luma samples, as its bitstream says."""

# pyright: reportUnknownMemberType=false
from __future__ import annotations

import re
from fractions import Fraction

import av.logging
from av.filter import Graph
from av.video.frame import VideoFrame

_STATED = re.compile(r" cl:(\S+)")


def stated_siting(picture: VideoFrame) -> str | None:
    """FFmpeg's name of the chroma location ("left", "center", "topleft", "top", ...), None where none is stated.

    PyAV does not hand the field out, and FFmpeg's showinfo filter prints it, so its line is read. Called once a film.
    """
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
