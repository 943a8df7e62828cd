"""Moments of films to train on: a few consecutive pictures each, halved, so that little is left of what coded them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Final

from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.errors import InputError
from lipt_stream.frame import END
from lipt_stream.media.file_source import FileSource
from lipt_stream.train.evaluate import Uint8Image
from lipt_stream.train.films import PICTURES
from lipt_stream.train.imresize import imresize

_HALF: Final = Fraction(1, 2)


def planned(path: Path, count: int) -> int:
    """How many `moments` gives of a film that is whole. Raises InputError where it cannot be read."""
    return _planned(_length(path)[0], count)


def moments(path: Path, count: int) -> Iterator[list[Uint8Image]]:
    """Up to `count` times PICTURES consecutive pictures, evenly over the film: (H/2, W/2, 3) uint8 RGB each.

    Fewer where it is shorter, or ends earlier than it says. Raises InputError where it cannot be read, or is damaged.
    """
    total, latest_seconds = _length(path)
    taken = _planned(total, count)
    for number in range(taken):
        try:
            source = _opened_at(path, (number + 0.5) * latest_seconds / taken)
        except InputError:  # its length was that of its sound, or it is cut off: what it has until there is good
            if number == 0:
                yield _moment_of(_opened_at(path, 0.0))
            return
        yield _moment_of(source)


def _planned(total: int, count: int) -> int:
    return max(1, min(count, total // PICTURES))


def _opened_at(path: Path, start_seconds: float) -> FileSource:
    return FileSource(path, start_seconds=start_seconds or None, threads=1)


def _moment_of(source: FileSource) -> list[Uint8Image]:
    """Closes it."""
    try:
        pictures = [_halved(picture) for picture in islice(pictures_of(source), PICTURES)]
    finally:
        source.close()
    if source.frames_concealed:  # it spreads from picture to picture, and decoders notice but a part of it
        raise InputError(f"{source.path} is damaged, and what a decoder guesses is nothing to learn from", "Repair it")
    return pictures


def pictures_of(source: FileSource) -> Iterator[Uint8Image]:
    """All pictures of a film that was opened, as the engine shows them to a network."""
    as_rgb, planes = RgbPictures(source.format), source.format.new_planes()
    while source.read(planes) is not END:
        yield as_rgb(planes)


def middle(pictures: Sequence[Uint8Image]) -> int:
    """Which of a moment's pictures is the one to be restored."""
    return len(pictures) // 2


def _length(path: Path) -> tuple[int, float]:
    """Pictures, and the seconds at which the last PICTURES begin, as the film tells; (0, 0) where it does not."""
    source = FileSource(path, threads=1)
    try:
        total, rate = source.frame_count_estimate or 0, source.format.frame_rate
        return (total, max(0, total - PICTURES) / float(rate)) if rate else (0, 0.0)
    finally:
        source.close()


def _halved(picture: Uint8Image) -> Uint8Image:
    height, width = (side - side % 2 for side in picture.shape[:2])
    return imresize(picture[:height, :width], _HALF)
