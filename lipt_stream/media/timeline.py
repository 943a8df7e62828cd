"""Presentation time: the part of a film that was asked for, and timestamps that strictly increase."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from lipt_stream.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Cut:
    """The half-open interval [start, end) of a film, in seconds from its first picture.

    Where a start was given, what is kept is moved so that the start becomes time 0 for every stream alike;
    without one, all timestamps stay as they are.
    """

    start: Fraction | None
    end: Fraction | None

    @staticmethod
    def of_seconds(start_seconds: float | None, end_seconds: float | None) -> Cut:
        """Raises SettingsError for negative times and for an end that is not after the start."""
        start, end = (None if t is None else _exact(t) for t in (start_seconds, end_seconds))
        if (start is not None and start < 0) or (end is not None and end < 0):
            raise SettingsError("A cut counts from the first picture: neither end can be negative", "Give 0 or more.")
        if end is not None and end <= (start or 0):
            raise SettingsError(f"The cut ends at {float(end):g} s, before it begins", "Give an --end after --start.")
        return Cut(start, end)

    def is_before(self, seconds: Fraction) -> bool:
        return self.start is not None and seconds < self.start

    def is_after(self, seconds: Fraction) -> bool:
        return self.end is not None and seconds >= self.end

    def shift_seconds(self, origin: Fraction) -> Fraction:
        """What to subtract from a stream's own time, `origin` being the time of the first picture."""
        return Fraction(0) if self.start is None else origin + self.start


def _exact(seconds: float) -> Fraction:
    """0.1 means a tenth, not the binary number a little above it that would cut off the picture at a tenth."""
    return Fraction(seconds).limit_denominator(1_000_000)


_JUMP_BACK_SECONDS: Final = Fraction(1, 2)
_JUMP_AHEAD_SECONDS: Final = Fraction(10)  # FFmpeg's own threshold


class FileClock:
    """Lets time go on where a file's own clock jumps: recordings joined end to end, the cells of a DVD.

    It is fed with the times of the picture's packets in the order of the file. `offset`, in seconds, is to be added to
    what follows in the file, in every stream alike, so that sound stays with the picture. A decoding time half a second
    before its predecessor is a jump; in MPEG's transport and program streams, which count from anywhere, also one ten
    seconds after it. What comes behind a jump is decoded after what was before it, and shown after it too.
    """

    def __init__(self, container_name: str) -> None:
        """`container_name`: FFmpeg's name of the format."""
        self.offset = Fraction(0)
        self.jumps = 0
        self._counts_from_anywhere = may_be_joined(container_name)
        self.last: Fraction | None = None  # when the last packet is decoded, `offset` included
        self._end = Fraction(0)  # of the picture shown last
        self._step = Fraction(1, 25)

    def saw(self, dts_seconds: Fraction, pts_seconds: Fraction, duration_seconds: Fraction) -> None:
        """The next packet of the picture; its duration 0 where unknown."""
        time, last = dts_seconds + self.offset, self.last
        if last is not None:
            ahead = self._counts_from_anywhere and time > last + _JUMP_AHEAD_SECONDS
            if ahead or time <= last - _JUMP_BACK_SECONDS:
                self.jumps += 1
                self.offset = max(last + self._step - dts_seconds, self._end - pts_seconds)
                time = dts_seconds + self.offset
        if duration_seconds > 0:
            self._step = duration_seconds
        shown_until = pts_seconds + self.offset + self._step
        self._end = shown_until if last is None else max(self._end, shown_until)
        self.last = time


def may_be_joined(container_name: str) -> bool:
    """Whether files of FFmpeg's format `container_name` count from anywhere, and are often joined end to end."""
    return container_name in ("mpegts", "mpeg")


def decoding_times(pts: list[int]) -> list[int]:
    """Decoding times for packets that arrive with these presentation times: strictly increasing, none after its pts.

    Each packet is decoded at the time of an earlier picture, as many pictures earlier as the reordering needs.
    `pts` holds no value twice.
    """
    shown = sorted(pts)
    position = {time: place for place, time in enumerate(shown)}
    delay = max((sent - position[time] for sent, time in enumerate(pts)), default=0)
    step = shown[1] - shown[0] if len(shown) > 1 else 1
    lead_in = [shown[0] - step * early for early in range(delay, 0, -1)] if shown else []
    return [*lead_in, *shown][: len(shown)]


class PtsClock:
    """Makes timestamps complete and strictly increasing, touching those that are already so not at all.

    A missing pts, or one that jumps back by more than a frame, is put one frame after its predecessor; one that
    merely repeats or slips back within a frame is put one step after it. `repaired` counts both.
    """

    def __init__(self, nominal_duration: int, step: int = 1) -> None:
        """`nominal_duration`: ticks of a frame whose own duration is unknown. `step`: ticks between a picture and one
        that would be shown with it; a millisecond is what Matroska can still tell apart. Both at least 1."""
        self._nominal = max(1, nominal_duration)
        self._step = max(1, step)
        self._last_pts: int | None = None
        self._last_duration = self._nominal
        self.repaired = 0

    def next(self, pts: int | None, dts: int | None, duration: int) -> int:
        """The timestamp of the next picture, given its own pts, its packet's dts and its duration (0 unknown)."""
        last = self._last_pts
        if last is None:
            time = pts if pts is not None else dts if dts is not None else 0
            self.repaired += pts is None
        elif pts is None or pts <= last - self._last_duration:
            time = last + self._last_duration
            self.repaired += 1
        elif pts <= last:
            time = last + self._step
            self.repaired += 1
        else:
            time = pts
        self._last_pts = time
        self._last_duration = duration if duration > 0 else self._nominal
        return time
