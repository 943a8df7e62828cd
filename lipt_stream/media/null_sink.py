"""A sink that counts pictures and lets them go: the null encoder of benchmarks."""

from __future__ import annotations

from lipt_stream.frame import Frame, VideoFormat


class NullSink:
    """Checks each picture's shape against `format`, counts it, discards it."""

    def __init__(self, format: VideoFormat) -> None:
        self.format = format
        self.frames_written = 0
        self.notes: list[str] = []

    def write(self, frame: Frame) -> None:
        shapes = tuple(plane.shape for plane in frame.planes)
        if shapes != self.format.plane_shapes:
            raise ValueError(f"planes of {shapes} were written to a sink of {self.format}")
        self.frames_written += 1

    def close(self) -> None:
        """Nothing is held, so nothing is released."""

    def abort(self) -> None:
        """Nothing was written, so nothing is kept."""
