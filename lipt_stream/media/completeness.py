"""What tells that pictures are missing from a film, where no decoder complains: gaps, an early end, a file cut away."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lipt_stream.errors import InputError
from lipt_stream.media import ebml
from lipt_stream.media.av_errors import reading

_STEADY_SHARE: Final = 0.8  # of the intervals: a film whose rate varies has gaps by nature, and none are counted
_TOLERATED_SECONDS: Final = Fraction(1, 5)
_SOUND_MAY_GO_ON_SECONDS: Final = Fraction(1, 2)  # where only the length of all streams together is stated
# Formats with the length in their header. Of others FFmpeg finds it at the end of what is there.
_STATING_LENGTH: Final = frozenset({"matroska", "flv", "asf", "rm", "mxf"})
_ALL_PICTURES: Final = frozenset({"yuv4mpegpipe", "dv"})  # to the last byte
_BOXES: Final = frozenset(
    (
        b"ftyp",
        b"moov",
        b"mdat",
        b"moof",
        b"mfra",
        b"free",
        b"skip",
        b"wide",
        b"sidx",
        b"styp",
        b"meta",
        b"uuid",
        b"emsg",
    )
)
_TAIL_BYTES: Final = 128 * 1024  # an Ogg page is up to 64 KiB long
_MATROSKA_DURATION: Final = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")


class Gaps:
    """Counts longer intervals between pictures that otherwise follow each other steadily."""

    @staticmethod
    def of(stream: VideoStream, nominal_ticks: Fraction | None) -> Gaps:
        """Those of `stream`; AVI has none, for a chunk that is lost takes its time with it."""
        return Gaps(None if _counts_repeats(stream) else nominal_ticks)

    def __init__(self, nominal_ticks: Fraction | None) -> None:
        """`nominal_ticks`: one frame at the film's rate, in its time base; None where gaps have no meaning."""
        self._nominal = nominal_ticks
        self._last_pts: int | None = None
        self._intervals = self._steady = self._gaps = self._missing = 0

    def saw(self, pts: int) -> None:
        if self._nominal and self._last_pts is not None:
            step = pts - self._last_pts
            self._intervals += 1
            rounding = min(max(Fraction(1), self._nominal / 20), self._nominal / 4)  # containers round to a tick
            self._steady += abs(step - self._nominal) <= rounding
            if step > self._nominal * Fraction(3, 2):
                self._gaps += 1
                self._missing += round(step / self._nominal) - 1
        self._last_pts = pts

    @property
    def note(self) -> str | None:
        if not self._gaps or self._steady < _STEADY_SHARE * self._intervals:
            return None
        gaps = "1 gap" if self._gaps == 1 else f"{self._gaps} gaps"
        return f"the source has {gaps} in otherwise steady pictures: about {self._missing} are missing there"


def fewer_than_stated(stream: VideoStream, count: int, shown_seconds: Fraction) -> str | None:
    """The note on a film of fewer pictures than its container counts. `shown_seconds`: from the first to the end."""
    if count >= stream.frames or _counts_repeats(stream):
        return None
    # An edit list hides pictures: FFmpeg leaves them out of its index, or marks them. A damaged table looks alike,
    # but then the film is shorter than it states, for the stated duration is that of the edit list.
    indexed = [entry.is_discard for entry in stream.index_entries]
    visible = min(stream.frames, len(indexed) or stream.frames) - sum(indexed)
    stated_seconds = (stream.duration or 0) * (stream.time_base or 0)
    if count >= visible and shown_seconds >= stated_seconds - _TOLERATED_SECONDS:
        return f"the file holds {stream.frames} pictures, of which its edit list shows {count}"
    return f"the file states {stream.frames} pictures, but only {count} could be read"


def early_end(stream: VideoStream, end_seconds: Fraction) -> str | None:
    """The note on a film whose pictures end before the time that its header, or Matroska's tags, state for them."""
    stated = stated_end(stream)
    if stated is not None:
        if end_seconds >= stated - _TOLERATED_SECONDS:
            return None
        return f"the file states {float(stated):.2f} s of pictures, but they end at {float(end_seconds):.2f} s"
    container = stream.container
    assert isinstance(container, InputContainer)
    whole = container.duration if _STATING_LENGTH & set(container.format.name.split(",")) else None
    if not whole or end_seconds >= Fraction(whole, av.time_base) - _SOUND_MAY_GO_ON_SECONDS:
        return None
    return f"the file states {whole / av.time_base:.2f} s, but its pictures end at {float(end_seconds):.2f} s"


def _stated_size(file: BinaryIO, container_name: str) -> int:
    """Bytes that the parts of the file add up to by what they say of themselves; 0 where they do not tell."""
    file.seek(0)
    if "matroska" in container_name:
        head = file.read(ebml.HEADER_BYTES)
        segments = ((start, end) for identity, start, end in ebml.walk(head) if identity == ebml.SEGMENT)
        start, end = next(segments, (0, 0))
        return 0 if end - start in ebml.UNKNOWN_SIZES else end
    return _boxes_end(file) if "mp4" in container_name else 0


def _boxes_end(file: BinaryIO) -> int:
    """ISO/IEC 14496-12, section 4.2: each box begins with its size and its kind."""
    place = 0
    while True:
        file.seek(place)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind not in _BOXES or size < 8:  # or one that goes on to the end of the file
            return place
        place += size


def _ends_ogg(tail: bytes) -> bool:
    """RFC 3533, section 6: the last page of a stream has a flag of 4 in its sixth byte."""
    page = tail.rfind(b"OggS")
    return 0 <= page < len(tail) - 5 and bool(tail[page + 5] & 4)


_END_MARKS: Final[Mapping[str, Callable[[bytes], bool]]] = MappingProxyType(
    {
        "ogg": _ends_ogg,
        "gif": lambda tail: tail.rstrip(b"\0").endswith(b";"),  # GIF89a, section 27
        "apng": lambda tail: b"IEND" in tail,
        "nut": lambda tail: b"NX\xdd\x67\x2f\x23\xe6\x4e" in tail,  # its index
    }
)


def _counts_repeats(stream: VideoStream) -> bool:
    """AVI's time is the number of chunks, of which those that repeat a picture are empty."""
    return stream.container.format.name == "avi"


def stated_end(stream: VideoStream) -> Fraction | None:
    """Where the pictures end by what an AVI or a Matroska file says of them alone, in seconds."""
    if _counts_repeats(stream) and stream.frames and stream.average_rate:
        return stream.frames / stream.average_rate
    match = _MATROSKA_DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if match is None:
        return None
    hours, minutes, seconds = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


class Witness:
    """Remembers how long a file was, to notice that it was cut, or went away, while it was read.

    FFmpeg takes both for the end of the film. A file that is only renamed or deleted stays readable to its end.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError."""
        self._path = path
        with reading(path):
            self._file = path.open("rb", buffering=0)
            self._before = os.fstat(self._file.fileno())

    def confirm(self) -> str | None:
        """A note where the file was written to meanwhile. Raises InputError where it is shorter now, or its last byte
        can no longer be read."""
        if self._file.closed:
            return None
        size = self._before.st_size
        with reading(self._path):
            now = os.fstat(self._file.fileno())
            self._file.seek(max(0, size - 1))
            whole = now.st_size >= size and len(self._file.read(1)) == min(1, size)
        if not whole:
            raise InputError(
                f"Cannot read {self._path}: it was cut from {size} to {now.st_size} bytes while it was being read",
                "Start again when nothing else writes to it.",
            )
        if now.st_mtime_ns != self._before.st_mtime_ns:
            return "the file was written to while it was being read: what came late or changed may be missing"
        return None

    def missing_end(self, container_name: str, read_to: int | None) -> str | None:
        """The note on a file that does not end as files of FFmpeg's format `container_name` do.

        `read_to`: the byte at which its last packet ends. Raises InputError.
        """
        if self._file.closed:
            return None
        size, has_end = self._before.st_size, _END_MARKS.get(container_name)
        with reading(self._path):
            stated = _stated_size(self._file, container_name)
        if stated > size:
            return f"the file lacks its last {stated - size} bytes: it was cut short"
        if container_name in _ALL_PICTURES and read_to not in (None, size):  # FFmpeg fills the last one of DV up
            return "the file ends within a picture: it was cut short"
        with reading(self._path):
            self._file.seek(max(0, size - _TAIL_BYTES))
            if has_end is None or has_end(self._file.read()):
                return None
        return "the file lacks its end mark: it may have been cut short"

    def close(self) -> None:
        self._file.close()
