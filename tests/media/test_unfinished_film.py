"""A film that is killed while it is written, and one that cannot be written at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipt_stream.errors import LiptError
from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink

WRITER = """
import sys
from fractions import Fraction
from pathlib import Path
import numpy as np
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
format = VideoFormat(width=128, height=96, frame_rate=Fraction(25))
encoder = choose_encoder("libx264", options={"preset": "ultrafast", "g": "25"})
sink = FileSink(Path(sys.argv[1]), format, encoder=encoder, copy_from=Path(sys.argv[2]))
rng = np.random.default_rng(0)
for n in range(10**6):
    planes = tuple(rng.integers(16, 235, shape).astype(np.uint8) for shape in format.plane_shapes)
    sink.write(Frame(index=n, pts=90_000 + n * 3600, duration=3600, planes=planes))
    print(n, flush=True)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_a_kill_leaves_plays(clip: Path, tmp_path: Path, suffix: str) -> None:
    """SIGKILL, which nothing can answer: all but the last seconds is there, at its time, under the name .part."""
    target = tmp_path / f"film{suffix}"
    command = [sys.executable, "-c", WRITER, str(target), str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        deadline = time.monotonic() + 60
        while int(process.stdout.readline()) < 400:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert [path.name for path in tmp_path.iterdir()] == [f"film{suffix}.part"]
    left: list[Fraction] = []
    with av.open(str(tmp_path / f"film{suffix}.part")) as container:
        assert len(container.streams.audio) == 1
        for packet in container.demux(video=0):
            try:
                left += [frame.pts * frame.time_base for frame in packet.decode()]
            except av.FFmpegError:
                continue  # the very last one was cut through
    assert len(left) > 200
    assert [t - left[0] for t in left[:200]] == [Fraction(n, 25) for n in range(200)]
    assert left[0] == 1


def test_refusals_are_of_the_tree() -> None:
    """A folder that takes no files, even for root."""
    choice = choose_encoder("libx264")
    with pytest.raises(LiptError, match=r"Cannot write /proc/film\.mp4: .+\. \S.+") as refusal:
        FileSink(Path("/proc/film.mp4"), VideoFormat(width=64, height=48), encoder=choice, copy_from=None)
    assert "\n" not in str(refusal.value)
