"""Presentation time: the part of a film that was asked for, and timestamps that strictly increase."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Generic, TypeVar

from lipt_stream.errors import SettingsError

T = TypeVar("T")


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
        """Raises SettingsError for negative times, for what is no time of a film, and for an end that is not after the
        start."""
        if any(t is not None and not abs(t) < _MOST_SECONDS for t in (start_seconds, end_seconds)):
            raise SettingsError("A cut counts seconds, and thirty years of them at most", "Give the times anew.")
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


_MOST_SECONDS: Final = 1e9
_JUMP_BACK_SECONDS: Final = Fraction(1, 2)
_JUMP_AHEAD_SECONDS: Final = Fraction(10)  # FFmpeg's own threshold


@dataclass(frozen=True, slots=True)
class _Line:
    """The times of a picture's packets up to one of them, in seconds."""

    offset: Fraction = Fraction(0)
    jumps: int = 0
    last: Fraction | None = None  # when the last packet is decoded, `offset` included
    end: Fraction = Fraction(0)  # of the picture shown last
    step: Fraction = Fraction(1, 25)


class _Sounds:
    """The stretches of time, on the file's own clock, that its sounds go through without a jump."""

    def __init__(self) -> None:
        self._stretches: dict[int, list[tuple[Fraction, Fraction]]] = {}

    def heard(self, index: int, seconds: Fraction) -> None:
        stretches = self._stretches.setdefault(index, [(seconds, seconds)])
        begin, end = stretches[-1]
        if -_JUMP_BACK_SECONDS < seconds - end <= _JUMP_AHEAD_SECONDS:
            stretches[-1] = begin, seconds
        else:
            stretches.append((seconds, seconds))

    def forget(self) -> None:
        """The stretches that are over."""
        for stretches in self._stretches.values():
            del stretches[:-1]

    def go_on(self, since: Fraction, until: Fraction) -> bool:
        """Whether one began before `since` and went on until after `until`."""
        return any(begin < since and until < end for held in self._stretches.values() for begin, end in held)


class FileClock:
    """Lets time go on where a file's own clock jumps: recordings joined end to end, the cells of a DVD.

    It is fed with the times of the picture's and the sounds' packets in the order of the file. `offset`, in seconds, is
    to be added to what follows in the file, in every stream alike, so that sound stays with the picture. A decoding
    time half a second before its predecessor is a jump; in MPEG's transport and program streams, which count from
    anywhere, also one ten seconds after it, unless a sound goes on meanwhile: then the picture paused. Without sound
    it is a jump. What comes behind a jump is decoded after what was before it, and shown after it too.

    Where the packet behind the odd one goes on where the one before it was, the odd one's time was wrong and there is
    no jump: one that was made for it is taken back.
    """

    def __init__(self, container_name: str) -> None:
        """`container_name`: FFmpeg's name of the format."""
        self._counts_from_anywhere = may_be_joined(container_name)
        self._now = self._before = _Line()
        self._sounds = _Sounds()

    @property
    def offset(self) -> Fraction:
        return self._now.offset

    @property
    def jumps(self) -> int:
        """How many there were. One less than before where one is taken back."""
        return self._now.jumps

    @property
    def reached(self) -> Fraction | None:
        """Up to where packets are decoded, whatever the last one says, for that may be wrong."""
        before, now = self._before.last, self._now.last
        return None if before is None or now is None else min(before, now)

    def is_far_behind(self, seconds: Fraction) -> bool:
        """Whether the picture jumps if it goes on where a sound is that begins at `seconds` of the file: by then the
        middle of its step is over."""
        reached = self.reached
        is_behind = reached is not None and 2 * (seconds + self.offset - reached) > _JUMP_AHEAD_SECONDS
        return self._counts_from_anywhere and is_behind

    def heard(self, index: int, seconds: Fraction) -> None:
        """The next packet of the sound in stream `index`."""
        self._sounds.heard(index, seconds)

    def saw(self, dts_seconds: Fraction, pts_seconds: Fraction, duration_seconds: Fraction) -> bool:
        """The next packet of the picture; its duration 0 where unknown. Returns whether it takes back the jump that
        was made for the packet before it."""
        takes_back = self._shows_that_last_was_wrong(dts_seconds, pts_seconds)
        line = self._before if takes_back else self._now
        self._before, self._now = line, self._continued(line, dts_seconds, pts_seconds, duration_seconds)
        self._sounds.forget()
        return takes_back

    def _shows_that_last_was_wrong(self, dts: Fraction, pts: Fraction) -> bool:
        before, now = self._before, self._now
        if before.last is None or now.last is None or self._is_jump(before, dts, pts):
            return False
        since_before, since_now = dts + before.offset - before.last, dts + now.offset - now.last
        if since_before <= 0:
            return False
        is_nearer = abs(since_before - 2 * before.step) < abs(since_now - now.step)
        return self._is_jump(now, dts, pts) or (now.jumps > before.jumps and is_nearer)

    def _is_jump(self, line: _Line, dts: Fraction, pts: Fraction) -> bool:
        if line.last is None:
            return False
        since_last = dts + line.offset - line.last
        if since_last <= -_JUMP_BACK_SECONDS:
            return True
        since_shown = pts + line.offset - (line.end - line.step)  # at a joint both step at once; B-frames part them
        is_far_ahead = self._counts_from_anywhere and min(since_last, since_shown) > _JUMP_AHEAD_SECONDS
        return is_far_ahead and not self._is_pause(line, dts, pts)

    def _is_pause(self, line: _Line, dts: Fraction, pts: Fraction) -> bool:
        """Whether a sound goes on while the picture steps ahead. The middle of the step tells, for sound lies in a file
        seconds before or behind its pictures: and it begins when the first of them is shown, not when it is decoded."""
        assert line.last is not None
        last_dts, last_pts = line.last - line.offset, line.end - line.offset
        return self._sounds.go_on(since=(last_pts + pts) / 2, until=(last_dts + dts) / 2)

    def _continued(self, line: _Line, dts: Fraction, pts: Fraction, duration: Fraction) -> _Line:
        offset, jumps = line.offset, line.jumps
        if line.last is not None and self._is_jump(line, dts, pts):
            offset, jumps = max(line.last + line.step - dts, line.end - pts), jumps + 1
        step = duration if duration > 0 else line.step
        shown_until = pts + offset + step
        end = shown_until if line.last is None else max(line.end, shown_until)
        return _Line(offset, jumps, dts + offset, end, step)


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

    A missing pts is put one frame after its predecessor, and so is a wrong one: one that is not between its neighbours
    though they follow each other, or that jumps back while nothing goes on. One that merely repeats or slips back
    within a frame is put one step after its predecessor. So are those that go on further back, until the film has
    caught up with its sound. `repaired` counts all of them.
    """

    def __init__(self, nominal_duration: int, step: int = 1) -> None:
        """`nominal_duration`: ticks of a frame whose own duration is unknown. `step`: ticks between a picture and one
        that would be shown with it; a millisecond is what Matroska can still tell apart. Both at least 1."""
        self._nominal = max(1, nominal_duration)
        self._step = max(1, step)
        self._last_pts: int | None = None
        self._last_stated: tuple[int | None, int | None] = None, None  # pts and dts
        self._last_duration = self._nominal
        self.repaired = 0

    def doubts(self, pts: int | None) -> bool:
        """Whether `next` can do better with the pts of the picture behind this one."""
        last = self._last_pts
        return pts is not None and last is not None and not last < pts <= last + self._last_duration

    def next(self, pts: int | None, dts: int | None, duration: int, following: int | None = None) -> int:
        """The timestamp of the next picture, given its own pts, its packet's dts and its duration (0 unknown), and
        the pts of the picture behind it (None: not known)."""
        last = self._last_pts
        if last is None:
            time = pts if pts is not None else dts if dts is not None else 0
            self.repaired += pts is None
        elif pts is not None and pts > last and not self._is_too_late(last, pts, following):
            time = pts
        else:
            time = last + self._distance(last, pts, dts, following)
            self.repaired += 1
        self._last_pts = time
        self._last_stated = pts, dts
        self._last_duration = duration if duration > 0 else self._nominal
        return time

    def _distance(self, last: int, pts: int | None, dts: int | None, following: int | None) -> int:
        """From the picture shown last to one whose pts is not after it, or wrong."""
        last_pts, last_dts = self._last_stated
        goes_on = pts != last_pts and dts is not None and last_dts is not None and dts > last_dts
        is_alone = pts is None or (following is not None and following > last)
        is_slip = pts is not None and last - self._last_duration < pts <= last
        if is_slip or (goes_on and not is_alone):
            return self._step
        room = self._last_duration if following is None or following <= last else following - last - self._step
        return max(self._step, min(self._last_duration, room))

    def _is_too_late(self, last: int, pts: int, following: int | None) -> bool:
        """By more than a frame, and not before the picture behind it, which goes on."""
        return following is not None and last < following <= pts and pts > last + self._last_duration


class OneAhead(Generic[T]):
    """Iterates over `items`, and can tell the one that comes next: it then holds it."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._held: list[T] = []

    def __iter__(self) -> Iterator[T]:
        while True:
            self.peek()
            if not self._held:
                return
            yield self._held.pop()

    def peek(self) -> T | None:
        """None: there is none."""
        if not self._held:
            self._held.extend(itertools.islice(self._items, 1))
        return self._held[0] if self._held else None
