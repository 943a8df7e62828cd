"""Recordings in which the pictures pause while the sound goes on, or the other way round: nothing was joined there."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.media.lanes import on_one_clock
from lipt_stream.media.timeline import FileClock
from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through, times

RATE = 48_000
SECONDS = 60
JUMPS = "the file's clock jumps once; what follows is put behind what came before"
When = Callable[[float], bool]


def always(_: float) -> bool:
    return True


def at_the_ends(seconds: float) -> bool:
    return not 1 < seconds < 58


def at_times(seconds: float) -> bool:
    return seconds % 11 == 0


def write_film(
    path: Path, shown: When = always, heard: When | None = always, begin_seconds: int = 0, b_frames: str = "0"
) -> bytes:
    """A minute of H.264 or MPEG-2, and of MP2, of which only some is there."""
    with av.open(str(path), "w") as target:
        options = {"bf": b_frames, "g": "12", "preset": "ultrafast"}
        picture = target.add_stream("libx264" if path.suffix == ".ts" else "mpeg2video", 25, options=options)
        picture.width, picture.height = 64, 48
        track = target.add_stream("mp2", RATE, layout="mono") if heard else None
        for number in range(25 * SECONDS):
            pts = 25 * begin_seconds + number
            if shown(number / 25):
                target.mux(picture.encode(flat_picture(pts, 20 + 8 * number % 200)))
            if track and heard and heard(number / 25):
                block = av.AudioFrame("s16", "mono", RATE // 25)
                np.frombuffer(block.planes[0], np.uint8)[:] = 0
                block.sample_rate, block.pts, block.time_base = RATE, pts * RATE // 25, Fraction(1, RATE)
                target.mux(track.encode(block))
        target.mux(picture.encode(None))
        target.mux(track.encode(None) if track else [])
    return path.read_bytes()


def failed(source: Path, result: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(source, result).failed}


def jumps(notes: list[str]) -> list[str]:
    return [note for note in notes if "jumps" in note]


@pytest.mark.parametrize("b_frames", ["0", "3"])
@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_a_pause_of_the_pictures_in_which_sound_goes_on_stays(tmp_path: Path, suffix: str, b_frames: str) -> None:
    """As where only pictures were lost on the air."""
    stays(tmp_path / f"film{suffix}", at_the_ends, b_frames)


@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_slides_stay_with_the_sound(tmp_path: Path, b_frames: str) -> None:
    """The first of them may be decoded long before any sound is heard."""
    stays(tmp_path / "film.ts", at_times, b_frames)


def stays(film: Path, shown: When, b_frames: str = "0", heard: When = always) -> None:
    write_film(film, shown, heard, b_frames=b_frames)
    result = film.with_name("out.mkv")
    assert not jumps(through(film, result))
    for kind in ("video", "audio"):
        assert times(result, kind) == pytest.approx(times(film, kind), abs=0.0011), kind
    assert failed(film, result) == {}


@pytest.mark.parametrize("start", [0.4, 6, 58.4])
def test_a_cut_counts_through_a_pause(tmp_path: Path, start: float) -> None:
    film = tmp_path / "film.ts"
    write_film(film, at_the_ends)
    through(film, tmp_path / "out.mkv", start_seconds=start)
    origin = times(film, "video")[0] + start
    for kind in ("video", "audio"):
        wanted = [time - origin for time in times(film, kind) if time >= origin - 0.0005]
        assert times(tmp_path / "out.mkv", kind) == pytest.approx(wanted, abs=0.0021), kind


@pytest.mark.parametrize("begin_seconds", [0, 100, 50_000])
def test_recordings_with_a_pause_are_joined_all_the_same(tmp_path: Path, begin_seconds: int) -> None:
    film = tmp_path / "film.ts"
    first = write_film(tmp_path / "part.ts", at_the_ends)
    film.write_bytes(first + write_film(tmp_path / "part.ts", at_the_ends, begin_seconds=begin_seconds))
    notes = through(film, tmp_path / "out.mkv")
    assert jumps(notes) == [JUMPS]
    shown, heard = times(tmp_path / "out.mkv", "video"), times(tmp_path / "out.mkv", "audio")
    steps = [later - earlier for earlier, later in pairwise(shown)]
    assert sorted(steps)[-3:] == pytest.approx([0.04, 57, 57], abs=0.0011)
    half = len(heard) // 2
    assert heard[half] - shown[len(shown) // 2] == pytest.approx(heard[0] - shown[0], abs=0.005)
    assert heard[-1] == pytest.approx(shown[-1], abs=0.1)
    assert failed(film, tmp_path / "out.mkv") == {}


def test_sound_that_pauses_too_is_not_taken_along_by_the_next_joint(tmp_path: Path) -> None:
    """It comes back long before the pictures, which do not jump: with B-frames the one encoder went on through it."""
    film, part = tmp_path / "film.ts", tmp_path / "part.ts"
    write_film(part, lambda seconds: not 20 < seconds < 40, lambda seconds: not 18 < seconds < 34, b_frames="2")
    film.write_bytes(part.read_bytes() * 2)
    through(film, tmp_path / "out.mkv")
    for kind in ("video", "audio"):
        right = times(part, kind)
        assert times(tmp_path / "out.mkv", kind)[: len(right)] == pytest.approx(right, abs=0.0011), kind
    assert failed(film, tmp_path / "out.mkv") == {}


@pytest.mark.parametrize("heard", [at_the_ends, None])
def test_where_nothing_goes_on_the_recording_does(tmp_path: Path, heard: When | None) -> None:
    """Both were away, as where a recording was paused; or there is no sound that could tell."""
    film = tmp_path / "film.ts"
    write_film(film, at_the_ends, heard)
    notes = through(film, tmp_path / "out.mkv")
    assert jumps(notes) == [JUMPS]
    for kind in ("video", "audio") if heard else ("video",):
        steps = [later - earlier for earlier, later in pairwise(times(tmp_path / "out.mkv", kind))]
        assert max(steps) < 0.2, kind
    assert failed(film, tmp_path / "out.mkv") == {}


def test_a_pause_of_the_sound_stays(tmp_path: Path) -> None:
    stays(tmp_path / "film.ts", always, heard=at_the_ends)


def test_a_sound_that_is_not_copied_tells_a_pause_too(tmp_path: Path) -> None:
    """Or what is copied would be moved, and the pictures not."""
    write_film(tmp_path / "film.ts", at_the_ends)
    clock = FileClock("mpegts")
    with av.open(str(tmp_path / "film.ts")) as container:
        packets = (packet for packet in container.demux() if packet.size)
        assert list(on_one_clock(packets, container.streams.video[0].index, {}, clock)) == []
    assert clock.jumps == 0
    assert clock.reached > 58


def test_the_audit_finds_a_pause_that_was_closed_up(tmp_path: Path) -> None:
    film = tmp_path / "film.ts"
    write_film(film, at_the_ends)
    write_film(tmp_path / "closed.ts", at_the_ends, at_the_ends)  # of which both are closed up
    through(tmp_path / "closed.ts", tmp_path / "out.mkv")
    assert "timestamps" in failed(film, tmp_path / "out.mkv")


STEP = Fraction(1, 25)


@given(
    pause=st.integers(11 * 25, 10**5),
    behind=st.integers(-100, 100),
    goes_on=st.booleans(),
)
def test_sound_seconds_before_or_behind_its_pictures_tells_a_pause(pause: int, behind: int, goes_on: bool) -> None:
    """`behind`: by how many pictures the sound comes later in the file than what is shown with it."""
    clock = FileClock("mpegts")
    shown = [*range(50), *range(50 + pause, 100 + pause)]
    heard = range(100 + pause) if goes_on else shown
    coming = sorted([(time, "picture", time) for time in shown] + [(time + behind, "sound", time) for time in heard])
    for _, kind, time in coming:
        if kind == "picture":
            clock.saw(time * STEP, time * STEP, STEP)
        else:
            clock.heard(1, time * STEP)
    assert clock.jumps == (not goes_on)
