"""`lipt-stream upscale` run within the test's own process, what it said, and films for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

CPU = ("--device", "cpu", "--model", "nano")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    errors: str

    @property
    def line(self) -> str:
        """The one line of error."""
        lines = self.errors.strip().splitlines()
        assert len(lines) == 1, self.errors
        assert lines[0].startswith("error: ")
        assert "defect" not in lines[0]
        return lines[0]


Command = Callable[..., Done]


def write_film(path: Path, sizes: tuple[tuple[int, int], ...] = ((64, 48),), frames: int = 8) -> Path:
    """`frames` pictures of each size, one after the other, MPEG-2 in a transport stream, or FFV1 in Matroska."""
    codec, pix_fmt = ("mpeg2video", "yuv420p") if path.suffix == ".ts" else ("ffv1", "yuv420p")
    data = b""
    for number, (width, height) in enumerate(sizes):
        with av.open(str(path), "w") as target:
            stream = target.add_stream(codec, 25)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            for index in range(frames):
                grain = np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)
                picture = av.VideoFrame.from_ndarray(grain, "rgb24").reformat(format=pix_fmt)
                picture.pts, picture.time_base = number * frames + index, Fraction(1, 25)
                target.mux(stream.encode(picture))
            target.mux(stream.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)
    return path


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def nothing_written() -> bool:
    return list(Path.cwd().iterdir()) == []
