"""Films for the contract suites, made with real encoders by plain PyAV: no code under test makes its own proof."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

FLOWER = Path(__file__).parents[1] / "data" / "clips" / "flower.mp4"


def encode_film(path: Path, codec: str, pix_fmt: str, pts: list[int], time_base: Fraction, options: dict[str, str]):
    """A 96x64 film whose luma tells the index of the picture: 16, 20, 24, ... (times 4 for 10 bits)."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pix_fmt
        stream.codec_context.time_base = time_base
        for index, time in enumerate(pts):
            picture = av.VideoFrame(96, 64, pix_fmt)
            deep = "10le" in pix_fmt
            for plane, value in zip(picture.planes, (16 + 4 * index, 128, 128), strict=True):
                samples = np.frombuffer(plane, np.uint16 if deep else np.uint8)
                samples[:] = value * 4 if deep else value
            picture.pts, picture.time_base = time, time_base
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


VFR = [0, 3000, 3600, 9000, 9030, 20000, 26000, 32001, 50000, 50090, 61000, 90000]


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Fraction]]]:
    """Name -> film and the presentation times of its pictures in seconds."""
    folder = tmp_path_factory.mktemp("films")
    unit = Fraction(1, 90_000)
    steady = [3600 * n for n in range(30)]
    offset = [90_000 * 5 + 3600 * n for n in range(12)]
    made: dict[str, tuple[Path, list[Fraction]]] = {}

    def make(name: str, codec: str, pix_fmt: str, pts: list[int], **options: str) -> None:
        encode_film(folder / name, codec, pix_fmt, pts, unit, options)
        made[name] = folder / name, [time * unit for time in pts]

    make("vfr_b_frames.mp4", "libx264", "yuv420p", VFR, preset="veryfast", bf="3")
    make("ten_bit.mkv", "libx264", "yuv420p10le", steady, preset="ultrafast")
    make("offset.mp4", "libx264", "yuv420p", offset, preset="ultrafast")
    make("intra.ts", "libx264", "yuv420p", steady, preset="ultrafast", g="1")
    made["flower.mp4"] = FLOWER, _times(FLOWER)
    return made


@pytest.fixture(scope="session")
def times_of() -> Callable[[Path], list[Fraction]]:
    return _times


def _times(path: Path) -> list[Fraction]:
    """Presentation times in a file by plain PyAV, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]
