"""What a live source hands out: pictures and sound, each with the source's own time and that of its arrival."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, TypeAlias

from av.video.frame import VideoFrame

from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoded import EncodedStream


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePicture:
    """A decoded picture of any size and pixel format. `time_seconds` is the source's statement, None where it makes
    none; `arrived_seconds` is when it was there to be had, on the monotonic clock."""

    picture: VideoFrame
    time_seconds: Fraction | None
    arrived_seconds: float


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A picture that came and was left undecoded (see Backlog)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSound:
    """An encoded packet of sound of the source's EncodedStream. Its duration is 0 where unknown."""

    data: bytes
    time_seconds: Fraction | None
    duration_seconds: Fraction
    arrived_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPicture:
    """A picture on the session's clock: `pts` counts 1/90000 s since the session began, and strictly increases."""

    picture: VideoFrame
    pts: int
    arrived_seconds: float


LiveItem: TypeAlias = LivePicture | PassedOver | LiveSound


class LiveSource(Protocol):
    """One connection to a live source. It is read and closed by one thread; it ends by itself once its `cancelled`
    event is set and FFmpeg lets go.

    `video_format` is that of the first picture; later ones may differ. `audio` is None where there is no sound.
    `is_finite`: it has an end of its own, as a file has. `damaged` counts the packets that gave no picture and the
    pictures that the decoder had to repair. `notes` say what is lost, once each.
    """

    video_format: VideoFormat
    audio: EncodedStream | None
    is_finite: bool
    damaged: int
    notes: list[str]

    def __iter__(self) -> Iterator[LiveItem]:
        """Raises InputError where the connection breaks."""
        ...

    def close(self) -> None: ...
