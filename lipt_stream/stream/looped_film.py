"""A film that begins again at its end, so that a short one can be measured for long."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from lipt_stream.errors import InputError
from lipt_stream.frame import END, Frame, Planes, VideoFormat
from lipt_stream.media.deinterlace import Deinterlace
from lipt_stream.media.file_source import FileSource


class LoopedFilm:
    """A FileSource without an end, whose timestamps go on rising. Raises InputError where no picture decodes."""

    def __init__(self, film: Path, *, deinterlace: Deinterlace, threads: int | None) -> None:
        self._film = film
        self._open = functools.partial(FileSource, film, deinterlace=deinterlace, threads=threads)
        self._source = self._open()
        self._offset = 0
        self._next_pts = 0
        self._index = 0
        self._frames_this_time = 0
        self._concealed = 0
        self.format: VideoFormat = self._source.format
        self.frame_count_estimate: int | None = None
        self.notes: list[str] = []

    @property
    def frames_concealed(self) -> int:
        return self._concealed + self._source.frames_concealed

    def read(self, into: Planes) -> Frame:
        frame = self._source.read(into)
        if frame is END:
            if self._frames_this_time == 0:
                raise InputError(f"{self._film} holds no picture that decodes", "Nothing can be measured on it")
            self._rewind()
            return self.read(into)
        self._frames_this_time += 1
        pts = frame.pts + self._offset
        self._next_pts = pts + max(frame.duration, 1)
        self._index += 1
        return dataclasses.replace(frame, index=self._index - 1, pts=pts)

    def _rewind(self) -> None:
        self._concealed += self._source.frames_concealed
        self._source.close()
        self._source = self._open()
        self._offset = self._next_pts
        self._frames_this_time = 0

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> LoopedFilm:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
