"""Interlaced pictures made progressive by FFmpeg's bwdif, one picture for each: count and times stay as they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from av.filter import Graph
from av.video.frame import VideoFrame

from lipt_stream.frame import UNSPECIFIED
from lipt_stream.media.matrices import UNSTATED

Deinterlace: TypeAlias = Literal["auto", "off", "on"]
_ANY_TIME_BASE: Final = Fraction(1, 1_000_000)  # the times of the filter's output are not used


@dataclass(frozen=True, slots=True)
class TimedPicture:
    """A decoded picture, its pts (which may differ from the picture's own), and the planes to show for it."""

    decoded: VideoFrame
    pts: int
    shown: VideoFrame


class Deinterlacer:
    """Replaces the planes of interlaced pictures, looking at their neighbours; passes progressive ones through.

    "auto" believes the decoder's flag on each picture, which every interlaced codec sets from its bitstream. Guessing
    from the pixels (FFmpeg's idet) is not added: it needs many pictures, errs on fine horizontal lines, and then
    softens what was sharp. "on" takes all pictures for interlaced, "off" none. The order of the fields is the
    picture's own, top first where it is not flagged. `seen` counts pictures that were flagged.
    """

    def __init__(self, mode: Deinterlace, threads: int | None) -> None:
        self.seen = 0
        self._mode = mode
        self._threads = threads or 0
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()
        self._inside: deque[TimedPicture] = deque()

    def through(self, pictures: Iterator[TimedPicture]) -> Iterator[TimedPicture]:
        """`pictures` in order, each with the planes to show. One picture of delay.

        The filter starts at the first picture that needs it, so progressive films cost nothing. From then on it sees
        every picture, because each is a neighbour of the next. Raises what av.filter raises.
        """
        for timed in pictures:
            picture = timed.decoded
            self.seen += picture.interlaced_frame
            kind = _kind_of(picture)
            if self._graph is not None and kind != self._kind:
                yield from self._drained()
            if self._graph is None and self._is_wanted(picture):
                self._graph, self._kind = _bwdif(picture, self._threads), kind
            if self._graph is None:
                yield timed
                continue
            self._inside.append(timed)
            self._graph.vpush(picture)
            yield from self._finished()
        yield from self._drained()

    def _is_wanted(self, picture: VideoFrame) -> bool:
        return self._mode == "on" or (self._mode == "auto" and bool(picture.interlaced_frame))

    def _finished(self) -> Iterator[TimedPicture]:
        """What the filter has ready. It gives one picture for each that it took, so they are paired in order."""
        assert self._graph is not None
        while True:
            try:
                smooth = self._graph.vpull()
            except (BlockingIOError, EOFError):
                return
            timed = self._inside.popleft()
            yield replace(timed, shown=smooth) if self._is_wanted(timed.decoded) else timed

    def _drained(self) -> Iterator[TimedPicture]:
        if self._graph is None:
            return
        self._graph.vpush(None)
        yield from self._finished()
        self._graph = None
        assert not self._inside, "bwdif gives as many pictures as it takes"


def _kind_of(picture: VideoFrame) -> tuple[object, ...]:
    """What a filter takes no change of."""
    return picture.width, picture.height, picture.format.name, picture.colorspace, picture.color_range


def _bwdif(picture: VideoFrame, threads: int) -> Graph:
    """deint=all, for the choice is made outside: left to itself the filter shows a first progressive picture twice."""
    graph = Graph()
    graph.threads = threads
    # Formats that bwdif does not take (uyvy422, nv12) pass a scaler before it, which would make colours of an unstated
    # kind out of those that are stated.
    values = {
        "width": picture.width,
        "height": picture.height,
        "pix_fmt": picture.format.name,
        "time_base": picture.time_base or _ANY_TIME_BASE,
        "colorspace": UNSPECIFIED if picture.colorspace in UNSTATED else int(picture.colorspace),
        "range": int(picture.color_range),
    }
    source = graph.add("buffer", ":".join(f"{key}={value}" for key, value in values.items()))
    graph.link_nodes(source, graph.add("bwdif", "mode=send_frame:parity=auto:deint=all"), graph.add("buffersink"))
    graph.configure()
    return graph
