"""Times of a file whose clock jumps, because recordings were joined: as if it had gone on. For audits alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final, Protocol

_BACK_SECONDS: Final = 0.5
_AHEAD_SECONDS: Final = 10.0
_COUNT_FROM_ANYWHERE: Final = frozenset({"mpegts", "mpeg"})


def counts_from_anywhere(container_name: str) -> bool:
    """Whether a step ahead may be a jump: then `Pauses` are to be looked for."""
    return container_name in _COUNT_FROM_ANYWHERE


class Pauses:
    """Looks for steps ahead of the pictures, in the order of the file, through which a sound goes on: there nothing
    was joined. `found`: from when to when, in seconds."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float]] = []
        self._last: tuple[float, float] | None = None  # when a picture is decoded, and the latest is shown
        self._sounds: dict[int, list[list[float]]] = {}  # since the last picture, parted at jumps: the first, the last

    def hear(self, index: int, seconds: float) -> None:
        parts = self._sounds.setdefault(index, [[seconds, seconds]])
        if not -_BACK_SECONDS < seconds - parts[-1][1] <= _AHEAD_SECONDS:
            parts.append([seconds, seconds])
        parts[-1][1] = seconds

    def see(self, decoded: float, shown: float) -> None:
        last_decoded, last_shown = self._last or (decoded, shown)
        middle_decoded, middle_shown = (last_decoded + decoded) / 2, (last_shown + shown) / 2
        parts = [part for parts in self._sounds.values() for part in parts]
        is_heard = any(first < middle_shown and middle_decoded < last for first, last in parts)
        is_of_one_piece = is_heard or decoded <= last_decoded + _AHEAD_SECONDS
        if shown > last_shown + _AHEAD_SECONDS and decoded > last_decoded and is_of_one_piece:
            self.found.append((last_shown, shown))
        self._last = decoded, shown if shown < last_shown - _BACK_SECONDS else max(last_shown, shown)
        self._sounds = {index: parts[-1:] for index, parts in self._sounds.items()}


class Joints(Protocol):
    """Which steps ahead of a stream's times, far ones, are joints of recordings, and what a joint adds to the times."""

    def is_joint(self, latest: float, seconds: float, offsets: Sequence[float]) -> bool:
        """Of the step from `latest` to `seconds`; `offsets` are those of the joints before."""
        ...

    def next_offset(self, own: float, place: int) -> float:
        """Behind the joint number `place`; `own` is what lets the stream's own times go on without a gap."""
        ...


@dataclass(frozen=True, slots=True)
class JointsOfPictures:
    """A step is a joint outside of `pauses`, which may still be found as they are read."""

    pauses: Sequence[tuple[float, float]] = ()

    def is_joint(self, latest: float, seconds: float, offsets: Sequence[float]) -> bool:
        del offsets
        middle = (latest + seconds) / 2
        return not any(begin < middle < end for begin, end in self.pauses)

    def next_offset(self, own: float, place: int) -> float:
        del place
        return own


@dataclass(frozen=True, slots=True)
class JointsBeside:
    """Of a stream beside the pictures: it is joined where they are, by their `offsets`."""

    offsets: Sequence[float]

    def is_joint(self, latest: float, seconds: float, offsets: Sequence[float]) -> bool:
        """Whether the pictures' next joint brings `seconds` nearer to what came before it: else this stream paused
        while they went on."""
        step, place = seconds - latest, len(offsets)
        return place < len(self.offsets) and abs(step + self.offsets[place] - offsets[-1]) < step

    def next_offset(self, own: float, place: int) -> float:
        return self.offsets[place] if place < len(self.offsets) else own


class JoinedTimes:
    """Follows one stream's times, in seconds.

    A time half a second before the latest is a jump; in a transport or program stream also one ten seconds after it,
    where `joints` say so. `offsets`: what was added to the times between one jump and the next; the first is 0.
    """

    def __init__(self, container_name: str, joints: Joints) -> None:
        self.offsets = [0.0]
        self._joints = joints
        self._counts_from_anywhere = counts_from_anywhere(container_name)
        self._latest: float | None = None  # on the file's own clock
        self._step = 0.0

    def follow(self, seconds: float, duration_seconds: float) -> float:
        """Where `seconds` lies on a clock that has gone on; nan stays nan."""
        if isnan(seconds):
            return seconds
        latest, self._latest = self._latest, seconds
        if latest is not None:
            if self._is_jump(latest, seconds):
                own = self.offsets[-1] + latest + self._step - seconds
                self.offsets.append(self._joints.next_offset(own, len(self.offsets)))
            else:
                self._latest = max(latest, seconds)
        self._step = duration_seconds
        return seconds + self.offsets[-1]

    def is_wrong(self, seconds: float, following: float) -> bool:
        """Whether a time leaves the line on which the next one, `following`, goes on. One that slips back a little, or
        is late by less than a frame, does not."""
        latest = self._latest
        if latest is None or not latest < following or self._is_jump(latest, following):
            return False
        return self._is_jump(latest, seconds) or (seconds >= following and seconds > latest + self._step)

    def leaps(self, seconds: float) -> bool:
        """Whether a time is half a second or more from where the last one ended."""
        return self._latest is not None and abs(seconds - self._latest - self._step) > _BACK_SECONDS

    def _is_jump(self, latest: float, seconds: float) -> bool:
        if seconds < latest - _BACK_SECONDS:
            return True
        is_far_ahead = self._counts_from_anywhere and seconds > latest + _AHEAD_SECONDS
        return is_far_ahead and self._joints.is_joint(latest, seconds, self.offsets)


class StatedTimes:
    """Those of a file whose clock has to be right, as a result's: taken as they are. To be used like JoinedTimes."""

    def __init__(self) -> None:
        self.offsets = [0.0]

    def follow(self, seconds: float, duration_seconds: float) -> float:
        del duration_seconds
        return seconds

    def is_wrong(self, seconds: float, following: float) -> bool:
        del seconds, following
        return False

    def leaps(self, seconds: float) -> bool:
        del seconds
        return False
