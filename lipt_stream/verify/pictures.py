"""Which picture of the source each picture of the result shows: small images, compared in step."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipt_stream.media.audit_pictures import AuditPicture
from lipt_stream.media.audit_thumbnails import Thumbnail
from lipt_stream.verify.colors import ColorChange, ColorStretches, ColorSums

REACH: Final = 4  # pictures to either side in which the nearest is looked for
_LOOK_AHEAD: Final = 240  # pictures read in search of one with the same time
_CERTAINTY: Final = 0.75  # of the way from the expected picture to the other; right ones were at 0.63 at most
_STILL_RMS: Final = 0.2  # two of the source's pictures nearer than this to each other are not told apart
_STILL_LEVELS: Final = 2.0
"""Nor are two that differ by less in nothing but brightness and hue, as flat ones of a slow fade do: networks and
encoders miss a level by one. What has an outline is told by that."""
_MOVING_RMS: Final = 1.0  # two further apart than this, levels aside, always are
_STILL_SHARE: Final = 0.6
"""Nor two that are nearer to each other than this share of what the result differs from either: there an encoder's
skipped blocks outweigh the motion. Right results of small films went wrong at up to 0.59."""
MAX_PICTURE_RMS: Final = 25.0
"""A picture that differs by more, colours aside, shows something else. Good results differ by up to 7, and by 17 on a
test pattern of saturated lines a pixel wide; across a cut it is 27 to 113, to plain gray or black about as much."""
_BACK: Final = (32, 64, 128)  # pictures: so slow a motion that neighbours are not told apart is told by these
_STALE_RMS: Final = 2.0
_STALE_SHARE: Final = 1 / 3
"""A picture that differs from its match by more, and from one of those _BACK before it by less than this share of that,
has stood still. A right one is never nearer to what was shown before."""
_OUTLINE_RMS: Final = 4.0  # of a picture around its mean: what has less is as good as flat
_LEAST_LIKENESS: Final = 0.5  # the correlation of two pictures around their means


class PictureMatcher:
    """Finds for every picture of the result the one of the source that it shows. Holds a few hundred small images.

    Expected is the source's picture of the same time (counted from the first), or the one after the last found if
    that is nearer. Of those within REACH another is taken only where the result's picture lies clearly nearer to it:
    three quarters of the way from the expected one, along the straight line between the two. The source's colours are
    first changed as the result's so far differ from them, so that wrong colours are not taken for wrong pictures.
    """

    def __init__(self, source: Iterator[AuditPicture], tolerance_seconds: float) -> None:
        self.matches = array("q")  # for each picture of the result: index in the source, -1 for none
        self.source_times = array("d")
        self.result_times = array("d")
        self.source_end_duration = self.result_end_duration = 0.0
        self.colors = ColorSums()
        self.stretches = ColorStretches()
        self.worst_rms = 0.0
        self.unlike: list[int] = []  # pictures of the result that show nothing that the source does near them
        self.stale: list[int] = []  # that show what the source showed long before
        self._source = source
        self._tolerance = tolerance_seconds
        self._window: deque[AuditPicture] = deque(maxlen=_LOOK_AHEAD + 2 * REACH + 1)
        self._expected = 0
        self._exhausted = False

    def add(self, picture: AuditPicture) -> None:
        """Takes the result's pictures one by one, in order."""
        self.result_times.append(np.nan if picture.seconds is None else picture.seconds)
        self.result_end_duration = picture.duration_seconds
        due = self._due(picture)
        change = self._color_change(picture.thumbnail)
        match = self._nearest(picture.thumbnail, due, change)
        self.matches.append(-1 if match is None else match.index)
        if match is None:
            return
        self._expected = match.index + 1
        shown = change.apply(match.thumbnail)
        rms = _rms(shown, picture.thumbnail)
        self.worst_rms = max(self.worst_rms, rms)
        if self._is_stale(picture.thumbnail, match, change, rms):
            self.stale.append(picture.index)
        if rms > MAX_PICTURE_RMS or _has_nothing_of(shown, picture.thumbnail):
            self.unlike.append(picture.index)
        else:
            self.colors.add(match.thumbnail, picture.thumbnail)
            self.stretches.add(picture.index, match.thumbnail, picture.thumbnail)

    def _is_stale(self, thumbnail: Thumbnail, match: AuditPicture, change: ColorChange, rms: float) -> bool:
        if rms <= _STALE_RMS:
            return False
        places = [match.index - back - self._window[0].index for back in _BACK]
        before = [self._window[place].thumbnail for place in places if place >= 0]
        return any(_rms(change.apply(one), thumbnail) < _STALE_SHARE * rms for one in before)

    def _color_change(self, thumbnail: Thumbnail) -> ColorChange:
        """How the result's colours differ so far; at its first picture, how they differ from the source's first."""
        if self.colors.is_empty and self._window:
            first = ColorSums()
            first.add(self._window[0].thumbnail, thumbnail)
            return first.best_fit()
        return self.colors.best_fit()

    def finish(self) -> None:
        """Reads what is left of the source, to count it. What was found is complete then."""
        self.stretches.end()
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

    def _due(self, picture: AuditPicture) -> tuple[int, int]:
        """Indices in the source of the picture that is due by time, and of the one that is due by order."""
        while not self._exhausted and len(self.source_times) <= self._expected + REACH:
            self._read()
        if picture.seconds is None:
            return self._expected, self._expected
        since_first = picture.seconds - self.result_times[0]
        while (
            not self._exhausted
            and len(self.source_times) - self._expected < _LOOK_AHEAD
            and self._latest() < since_first
        ):
            self._read()
        near = [
            (abs(self._since_first(one) - since_first), one.index) for one in self._window if one.seconds is not None
        ]
        distance, index = min(near, default=(np.inf, 0))
        return (index if distance <= self._tolerance else self._expected), self._expected

    def _latest(self) -> float:
        return self._since_first(self._window[-1]) if self._window else np.inf

    def _since_first(self, picture: AuditPicture) -> float:
        return np.inf if picture.seconds is None else picture.seconds - self.source_times[0]

    def _nearest(self, thumbnail: Thumbnail, due: tuple[int, int], change: ColorChange) -> AuditPicture | None:
        """None where the source has nothing left that is due."""
        while not self._exhausted and len(self.source_times) <= max(due) + REACH:
            self._read()
        near = [one for one in self._window if any(abs(one.index - index) <= REACH for index in due)]
        places = [place for index in due for place, one in enumerate(near) if one.index == index]
        if not places:
            return None
        stack = change.apply(np.stack([one.thumbnail for one in near]))
        errors = _mean_squares(stack - thumbnail)
        levels = (stack - thumbnail).mean(axis=(1, 2))  # (n, channels)
        nearest = int(np.argmin(errors))
        least_apart = min(max(_STILL_RMS**2, _STILL_SHARE**2 * float(errors[nearest])), _MOVING_RMS**2)

        def way(here: int, there: int) -> float:
            """Where the result lies on the line from one (0) to the other (1); 0 where they cannot be told apart."""
            apart = float(_mean_squares((stack[there] - stack[here])[None])[0])
            nearer = float(errors[here] - errors[there])
            step = levels[there] - levels[here]
            if np.abs(step).max() < _STILL_LEVELS:
                apart -= float(np.square(step).mean())
                nearer -= float(np.square(levels[here]).mean() - np.square(levels[there]).mean())
            return 0.5 + nearer / (2 * apart) if apart > least_apart else 0.0

        by_time, by_order = places[0], places[-1]
        expected = by_order if way(by_time, by_order) > 0.5 else by_time
        is_like = errors[nearest] <= MAX_PICTURE_RMS**2  # of pictures all unlike, none is the one
        return near[nearest] if is_like and way(expected, nearest) > _CERTAINTY else near[expected]


def _has_nothing_of(shown: Thumbnail, picture: Thumbnail) -> bool:
    """Whether an outline that is there does not come out: dark and pale scenes differ little from black or gray, so
    that the difference alone does not tell. Of brightness, and coarse: noise has none."""
    one, other = (_coarse(image.mean(2)) for image in (shown, picture))
    one, other = one - one.mean(), other - other.mean()
    energy = float(np.square(one).mean())
    if energy < _OUTLINE_RMS**2:
        return False
    common = float((one * other).mean())
    return common < _LEAST_LIKENESS * np.sqrt(energy * float(np.square(other).mean()) + 1e-9)


def _coarse(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages of 4x4 cells, where there are as many (verify/audit.py cuts them so)."""
    rows, columns = image.shape
    if rows % 4 or columns % 4:
        return image
    return image.reshape(rows // 4, 4, columns // 4, 4).mean((1, 3))


def _rms(one: Thumbnail, other: Thumbnail) -> float:
    return float(np.sqrt(_mean_squares((one - other)[None])[0]))


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
