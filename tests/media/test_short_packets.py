"""Sound in packets that last less than the tick of a clock, as TrueHD's do in Matroska: no time is pushed for good."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through, times

RATE = 48_000
SAMPLES = 32  # of a packet: 0.667 ms


def write_film(path: Path, seconds: int = 2) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", 25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("flac", RATE, layout="mono", options={"frame_size": str(SAMPLES)})
        sound.format = "s16"
        for number in range(25 * seconds):
            container.mux(picture.encode(flat_picture(number, 40 + 2 * number)))
        for start in range(0, RATE * seconds, SAMPLES):
            tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(start, start + SAMPLES) / RATE)
            block = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, start, Fraction(1, RATE)
            container.mux(sound.encode(block))
        container.mux(picture.encode(None))
        container.mux(sound.encode(None))


@pytest.mark.parametrize("source", [".mkv", ".mp4"])
@pytest.mark.parametrize("target", [".mkv", ".mp4"])
def test_no_time_is_pushed_for_good(tmp_path: Path, source: str, target: str) -> None:
    film, out = tmp_path / f"film{source}", tmp_path / f"out{target}"
    write_film(film)
    before = times(film, "audio")
    assert len(before) == 2 * RATE // SAMPLES
    through(film, out)
    assert times(out, "audio") == pytest.approx(before, abs=0.0011)
    assert verify(film, out).failed == ()
