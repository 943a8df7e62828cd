from __future__ import annotations

from fractions import Fraction
from itertools import pairwise, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.errors import SettingsError
from lipt_stream.media.timeline import Cut, PtsClock, decoding_times

TIMES = st.lists(st.one_of(st.none(), st.integers(-(2**40), 2**40)), max_size=40)


@given(pts=TIMES, duration=st.integers(0, 10_000), nominal=st.integers(-5, 10_000), dts=TIMES, ahead=st.booleans())
def test_time_strictly_increases_whatever_comes(
    pts: list[int | None], duration: int, nominal: int, dts: list[int | None], ahead: bool
) -> None:
    clock = PtsClock(nominal)
    behind = [*pts[1:], None] if ahead else []
    pictures = zip_longest(pts, dts[: len(pts)], behind)
    times = [clock.next(time, decoded, duration, following) for time, decoded, following in pictures]
    assert all(a < b for a, b in pairwise(times))


@given(pts=st.lists(st.integers(-(2**40), 2**40), max_size=40, unique=True).map(sorted))
def test_good_timestamps_are_left_alone(pts: list[int]) -> None:
    clock = PtsClock(3600)
    assert [clock.next(time, None, 3600) for time in pts] == pts
    assert clock.repaired == 0


@given(count=st.integers(1, 30), duration=st.integers(1, 10_000), dts=st.one_of(st.none(), st.integers(-100, 100)))
def test_missing_timestamps_follow_at_the_frames_distance(count: int, duration: int, dts: int | None) -> None:
    clock = PtsClock(1)
    times = [clock.next(None, dts, duration) for _ in range(count)]
    assert times == [(dts or 0) + n * duration for n in range(count)]
    assert clock.repaired == count


@pytest.mark.parametrize("step", [1, 90])
def test_a_repeated_timestamp_moves_by_a_step_and_a_jump_back_by_a_frame(step: int) -> None:
    clock = PtsClock(100, step)
    times = [clock.next(time, None, 100) for time in (0, 100, 100, 200, -5000, 1000)]
    assert times == [0, 100, 100 + step, 200, 300, 1000]
    assert clock.repaired == 2


@given(pts=st.lists(st.integers(-(2**40), 2**40), max_size=30, unique=True))
def test_decoding_times_increase_and_never_pass_the_picture(pts: list[int]) -> None:
    dts = decoding_times(pts)
    assert len(dts) == len(pts)
    assert all(a < b for a, b in pairwise(dts))
    assert all(decoded <= shown for decoded, shown in zip(dts, pts, strict=True))
    assert decoding_times(sorted(pts)) == sorted(pts), "no reordering, no delay"


def test_a_cut_is_half_open_and_decimal() -> None:
    cut = Cut.of_seconds(0.1, 0.3)
    assert not cut.is_before(Fraction(1, 10)), "0.1 s is a tenth, not the binary number above it"
    assert cut.is_before(Fraction(1, 10) - Fraction(1, 10**6))
    assert cut.is_after(Fraction(3, 10))
    assert cut.shift_seconds(Fraction(5)) == 5 + Fraction(1, 10)
    assert Cut.of_seconds(None, 3).shift_seconds(Fraction(5)) == 0


@pytest.mark.parametrize(("start", "end"), [(-1, None), (None, -1), (2, 2), (3, 1), (None, 0)])
def test_an_impossible_cut_is_refused(start: float | None, end: float | None) -> None:
    with pytest.raises(SettingsError) as caught:
        Cut.of_seconds(start, end)
    assert caught.value.hint, "no way out is told"
