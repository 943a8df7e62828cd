"""Which picture of the source each picture of the result shows: small images, compared in step."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipt_stream.media.audit_pictures import AuditPicture, Thumbnail
from lipt_stream.stream.verify_colors import ColorChange, ColorSums

REACH: Final = 8  # pictures to either side in which the nearest is looked for
_LOOK_AHEAD: Final = 240  # pictures read in search of one with the same time
_CERTAINTY: Final = 0.75  # of the way from the expected picture to the other, at least
_STILL_RMS: Final = 0.3  # two of the source's pictures nearer than this to each other are not told apart
MAX_PICTURE_RMS: Final = 25.0
"""A picture that differs by more, colours aside, shows something else. Good results: up to 1.7, 12 for a test pattern
of saturated lines a pixel wide; two scenes of one film: from 40 up."""


class PictureMatcher:
    """Finds for every picture of the result the one of the source that it shows. Holds a few hundred small images.

    Expected is the source's picture of the same time (counted from the first), else the one after the last found. Of
    those within REACH of it another is taken only where the result's picture lies clearly nearer to it: three quarters
    of the way from the expected one, along the straight line between the two. The source's colours are first changed
    as the result's so far differ from them, so that wrong colours are not taken for wrong pictures.
    """

    def __init__(self, source: Iterator[AuditPicture], tolerance_seconds: float) -> None:
        self.matches = array("q")  # for each picture of the result: index in the source, -1 for none
        self.source_times = array("d")
        self.result_times = array("d")
        self.source_end_duration = self.result_end_duration = 0.0
        self.colors = ColorSums()
        self.worst_rms = 0.0
        self.worst_index = -1
        self._source = source
        self._tolerance = tolerance_seconds
        self._window: deque[AuditPicture] = deque(maxlen=_LOOK_AHEAD + 2 * REACH + 1)
        self._expected = 0
        self._exhausted = False

    def add(self, picture: AuditPicture) -> None:
        """Takes the result's pictures one by one, in order."""
        self.result_times.append(np.nan if picture.seconds is None else picture.seconds)
        self.result_end_duration = picture.duration_seconds
        position = self._position(picture)
        change = self._color_change(picture.thumbnail)
        match = self._nearest(picture.thumbnail, position, change)
        self.matches.append(-1 if match is None else match.index)
        if match is None:
            return
        self._expected = match.index + 1
        self.colors.add(match.thumbnail, picture.thumbnail)
        rms = float(np.sqrt(_mean_squares((change.apply(match.thumbnail) - picture.thumbnail)[None])[0]))
        if rms > self.worst_rms:
            self.worst_rms, self.worst_index = rms, picture.index

    def _color_change(self, thumbnail: Thumbnail) -> ColorChange:
        """How the result's colours differ so far; at its first picture, how they differ from the source's first."""
        if self.colors.is_empty and self._window:
            first = ColorSums()
            first.add(self._window[0].thumbnail, thumbnail)
            return first.best_fit()
        return self.colors.best_fit()

    def finish(self) -> None:
        """Reads what is left of the source, to count it."""
        while self._read():
            pass

    def _read(self) -> bool:
        picture = next(self._source, None)
        if picture is None:
            self._exhausted = True
            return False
        self.source_times.append(np.nan if picture.seconds is None else picture.seconds)
        self.source_end_duration = picture.duration_seconds
        self._window.append(picture)
        return True

    def _position(self, picture: AuditPicture) -> int:
        """Index in the source of the picture that is due."""
        while not self._exhausted and len(self.source_times) <= self._expected + REACH:
            self._read()
        if picture.seconds is None:
            return self._expected
        due = picture.seconds - self.result_times[0]
        while not self._exhausted and len(self.source_times) - self._expected < _LOOK_AHEAD and self._latest() < due:
            self._read()
        near = [(abs(self._since_first(one) - due), one.index) for one in self._window if one.seconds is not None]
        distance, index = min(near, default=(np.inf, 0))
        return index if distance <= self._tolerance else self._expected

    def _latest(self) -> float:
        return self._since_first(self._window[-1]) if self._window else np.inf

    def _since_first(self, picture: AuditPicture) -> float:
        return np.inf if picture.seconds is None else picture.seconds - self.source_times[0]

    def _nearest(self, thumbnail: Thumbnail, position: int, change: ColorChange) -> AuditPicture | None:
        while not self._exhausted and len(self.source_times) <= position + REACH:
            self._read()
        centres = (position, self._expected)  # by time and by order: either may be off
        near = [one for one in self._window if any(abs(one.index - centre) <= REACH for centre in centres)]
        expected = next((one for one in near if one.index == position), None)
        if not near or expected is None:
            return None
        stack = change.apply(np.stack([one.thumbnail for one in near]))
        errors = _mean_squares(stack - thumbnail)
        best = int(np.argmin(errors))
        due = near.index(expected)
        apart = _mean_squares((stack[best] - stack[due])[None])[0]
        # On the line from the expected picture (0) to the other (1), the result lies here:
        way = 0.5 + (errors[due] - errors[best]) / (2 * apart) if apart > _STILL_RMS**2 else 0.0
        return near[best] if way > _CERTAINTY else expected


def _mean_squares(stack: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.einsum("nhwc,nhwc->n", stack, stack) / stack[0].size


@dataclass(frozen=True, slots=True)
class Alignment:
    """What `matches` says, in indices of the source (missing) and of the result (the others)."""

    missing: tuple[int, ...]
    repeated: tuple[int, ...]
    out_of_order: tuple[int, ...]
    surplus: tuple[int, ...]

    @property
    def ok(self) -> bool:
        return not (self.missing or self.repeated or self.out_of_order or self.surplus)

    def __str__(self) -> str:
        parts = (
            ("missing: the source's", self.missing),
            ("shown twice:", self.repeated),
            ("out of order:", self.out_of_order),
            ("beyond the source's end:", self.surplus),
        )
        return "; ".join(f"{words} {ranges(indices)}" for words, indices in parts if indices)


def align(matches: Sequence[int], source_count: int) -> Alignment:
    seen: set[int] = set()
    latest = -1
    repeated: list[int] = []
    out_of_order: list[int] = []
    for position, match in enumerate(matches):
        if match >= 0:
            if match in seen:
                repeated.append(position)
            elif match < latest:
                out_of_order.append(position)
            seen.add(match)
            latest = max(latest, match)
    return Alignment(
        missing=tuple(index for index in range(source_count) if index not in seen),
        repeated=tuple(repeated),
        out_of_order=tuple(out_of_order),
        surplus=tuple(position for position, match in enumerate(matches) if match < 0),
    )


def ranges(numbers: Sequence[int], most: int = 5) -> str:
    """ "3, 7-9 and 12 more": ascending `numbers` as ranges, the first few of them."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    shown = ", ".join("-".join(str(end) for end in run) for run in runs[:most])
    rest = sum(run[-1] - run[0] + 1 for run in runs[most:])
    return f"{shown} and {rest} more" if rest else shown
