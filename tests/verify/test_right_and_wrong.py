"""Results that look wrong and are right, and the other way round: other words for the same, and clocks that jump."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.verify.audit import verify
from lipt_stream.verify.beside import _same_tag
from tests.film import flat_picture, through
from tests.media.test_subtitles import write_subtitles
from tests.verify.audited_film import failures


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("ass", "0,0,Default,,0,0,0,,{\\i1}Tom{\\i0}, and\\NJerry"),
        ("webvtt", "<i>Tom</i> &amp; Jerry"),
    ],
)
def test_subtitles_and_titles_that_mp4_writes_otherwise(tmp_path: Path, codec: str, text: str) -> None:
    source = write_subtitles(tmp_path / "source.mkv", codec, [(200, 300, text), (700, 200, text)])
    through(source, tmp_path / "out.mp4")
    assert failures(verify(source, tmp_path / "out.mp4")) == {}


@pytest.mark.parametrize(
    ("key", "one", "other", "is_same"),
    [
        ("creation_time", "2024-01-02T03:04:05.500000Z", "2024-01-02T03:04:05.000000Z", True),
        ("creation_time", "2024-01-02T03:04:05Z", "2024-01-02T04:04:05+01:00", True),
        ("creation_time", "2024-01-02T03:04:05Z", "2024-01-02T03:04:06Z", False),
        ("creation_time", "in spring", "in autumn", False),
        ("date", "2024-01-02T03:04:05.5Z", "2024-01-02T03:04:05Z", False),
    ],
)
def test_a_moment_is_held_to_the_second(key: str, one: str, other: str, is_same: bool) -> None:
    assert _same_tag(key, one, other) is is_same


def written(path: Path, times: list[int], sound: list[int] | None = None) -> Path:
    """Pictures at these 25ths of a second and, in PCM of a tenth of a second each, sound at these tenths."""
    with av.open(str(path), "w") as target:
        picture = target.add_stream("libx264", 25)
        picture.width, picture.height, picture.codec_context.options = 64, 48, {"bf": "0"}
        track = target.add_stream("pcm_s16le", 48_000, layout="mono") if sound else None
        for number, time in enumerate(times):
            frame = flat_picture(number, 40 + 8 * number)
            frame.pts = time
            target.mux(picture.encode(frame))
        target.mux(picture.encode(None))
        noise = np.random.default_rng(0)
        for tenth in sound or ():
            samples = av.AudioFrame.from_ndarray(
                noise.integers(-9_000, 9_000, (1, 4_800)).astype(np.int16), "s16", "mono"
            )
            samples.sample_rate, samples.pts, samples.time_base = 48_000, 4_800 * tenth, Fraction(1, 48_000)
            assert track is not None
            target.mux(track.encode(samples))
    return path


def test_a_result_whose_clock_leaps_though_the_sources_does_not(tmp_path: Path) -> None:
    """In a transport stream a source is excused by it: there it may be where recordings were joined."""
    source = written(tmp_path / "source.mkv", list(range(12)))
    leaping = written(tmp_path / "out.ts", [*range(6), *range(506, 512)])
    assert "off, by up to 20000" in failures(verify(source, leaping))["timestamps"]
    through(leaping, tmp_path / "again.mkv")
    assert failures(verify(leaping, tmp_path / "again.mkv")) == {}


def test_a_hole_in_pcm_that_is_elsewhere(tmp_path: Path) -> None:
    source = written(tmp_path / "source.mkv", list(range(25)), [0, 1, 4, 5, 6, 7])
    same = written(tmp_path / "same.mkv", list(range(25)), [0, 1, 4, 5, 6, 7])
    moved = written(tmp_path / "moved.mkv", list(range(25)), [0, 1, 2, 3, 6, 7])
    assert failures(verify(source, same)) == {}
    assert "ms early, 20 are allowed" in failures(verify(source, moved))["audio 1 heard"]
