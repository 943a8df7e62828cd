"""The check at the end of `upscale`: packets of the written file against what was written, without decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.verify.audit import Verification, quick_check
from tests.verify.audited_film import COUNT, GOOD, MILLISECOND, SOURCE, Write, failures


def quick_failures(result: Path, pts: Sequence[int], end_pts: int, unit: Fraction = MILLISECOND) -> dict[str, str]:
    return failures(Verification(quick_check(result, pts=pts, end_pts=end_pts, time_base=unit)))


def test_the_quick_check_tells_counts_and_times(source: Path) -> None:
    times = SOURCE.times_ms
    assert quick_failures(source, times, 1600) == {}
    assert list(quick_failures(source, times, 1640)) == ["duration"]
    found = quick_failures(source, [*times[:5], 190, *times[5:]], 1600)
    assert found["frames"] == "41 were written, the file holds 40"
    assert found["timestamps"] == "none in the result at 0.190 s"
    late = quick_failures(source, [time + 100 for time in times], 1700)
    assert late == {"timestamps": "all are off by -100.0 ms"}
    assert quick_failures(source, [time - 500 for time in times], 1100) == {}, "such a film is moved to zero"


def test_the_quick_check_compares_every_time(write: Write) -> None:
    """One in the middle alone; and a constant rate forced between a first and a last that are right."""
    times = SOURCE.times_ms
    one = write(GOOD.but(times_ms=(*times[:20], times[20] - 3, *times[21:])))
    words = "1 of 40 are off, by up to 3.0 ms (2.0 are allowed): pictures 20"
    assert quick_failures(one, times, 1600) == {"timestamps": words}
    constant = write(GOOD.but(times_ms=tuple(40 * n for n in range(COUNT))))
    found = quick_failures(constant, times, 1600)["timestamps"]
    assert found.startswith("26 of 40 are off, by up to 7.0 ms (2.0 are allowed): pictures 1-2, 4-5")


def test_a_coarse_source_excuses_no_shift_in_the_quick_check(write: Write) -> None:
    """One that counts in pictures: some come late by a whole one."""
    meant = [2 * n for n in range(COUNT)]
    late = write(GOOD.but(times_ms=tuple(40 * n + (40 if 20 <= n < 22 else 0) for n in meant)))
    found = quick_failures(late, meant, 2 * COUNT - 1, Fraction(1, 25))
    assert found == {"timestamps": "1 of 40 are off, by up to 40.0 ms (2.0 are allowed): pictures 10"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_quick_check_believes_a_short_last_picture(tmp_path: Path, suffix: str) -> None:
    """In MP4 with B-frames the packet of the last picture carries a step of decoding time, not the picture's own."""
    video = VideoFormat(width=64, height=48, time_base=Fraction(1, 1000))
    source, result = SyntheticSource(video, 29), tmp_path / f"short{suffix}"
    sink = FileSink(result, video, encoder=choose_encoder("libx264"), copy_from=None)
    planes = video.new_planes()
    while (frame := source.read(planes)) is not END:
        sink.write(replace(frame, pts=33 * frame.index, duration=1 if frame.index == 28 else 33))
    sink.close()
    assert quick_failures(result, range(0, 29 * 33, 33), 925) == {}
