from __future__ import annotations

import itertools
from fractions import Fraction
from itertools import pairwise, zip_longest

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lipt_stream.errors import SettingsError
from lipt_stream.media.matroska_times import MatroskaTimes
from lipt_stream.media.timeline import Cut, FileClock, OneAhead, PtsClock, decoding_times

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


FRAME = Fraction(1, 25)


def is_alone(times: list[int], place: int, wrong: int) -> bool:
    """Whether it cannot be its predecessor that is wrong, after a pause, and this one goes on before it."""
    return place < 2 or not times[place - 2] < wrong <= times[place - 1]


@given(
    times=st.lists(st.integers(1, 250), min_size=3, max_size=30).map(lambda steps: list(itertools.accumulate(steps))),
    place=st.integers(1, 28),
    wrong=st.integers(-(10**6), 10**6),
    container=st.sampled_from(["mpegts", "matroska,webm"]),
)
def test_the_clock_of_a_file_is_not_moved_by_one_wrong_time(
    times: list[int], place: int, wrong: int, container: str
) -> None:
    """Times in frames of 40 ms, pauses up to ten seconds between them."""
    clock, place = FileClock(container), min(place, len(times) - 2)
    assume(is_alone(times, place, wrong))
    assume(container != "mpegts" or times[place + 1] - times[place - 1] <= 250)
    for time in [*times[:place], wrong, *times[place + 1 :]]:
        clock.saw(time * FRAME, time * FRAME, FRAME)
    assert (clock.offset, clock.jumps) == (0, 0)


@given(st.sampled_from(["mpegts", "matroska,webm"]), st.integers(13, 10**6), st.integers(2, 40), st.integers(1, 25))
def test_a_joint_stays_one(container: str, back: int, count: int, frames_apart: int) -> None:
    """Of parts of any rate down to one picture a second, whose second part begins any time before the first's end."""
    clock, step = FileClock(container), frames_apart * FRAME
    for time in (n * step for n in range(count)):
        clock.saw(time, time, step)
    begin = time - max(back * FRAME, step)
    for time in (begin + n * step for n in range(count)):
        clock.saw(time, time, step)
    assert clock.jumps == 1
    assert clock.reached == (2 * count - 2) * step


def clocked(stated: list[int], duration: int, step: int = 1) -> tuple[list[int], int]:
    """As a film whose packets are decoded one after the other would have it; and how many were repaired."""
    clock, pictures = PtsClock(duration, step), OneAhead(enumerate(stated))
    got = []
    for dts, pts in pictures:
        following = pictures.peek() if clock.doubts(pts) else None
        got.append(clock.next(pts, dts, duration, following[1] if following else None))
    return got, clock.repaired


@given(
    times=st.lists(st.integers(10, 10_000), min_size=3, max_size=30).map(
        lambda steps: list(itertools.accumulate(steps))
    ),
    place=st.integers(1, 28),
    wrong=st.integers(-(2**40), 2**40),
    step=st.integers(1, 5),
)
def test_all_but_a_wrong_time_are_left_alone(times: list[int], place: int, wrong: int, step: int) -> None:
    place = min(place, len(times) - 2)
    assume(is_alone(times, place, wrong))
    before, behind = times[place - 1], times[place + 1]
    got, repaired = clocked([*times[:place], wrong, *times[place + 1 :]], 10, step)
    assert got[:place] + got[place + 1 :] == times[:place] + times[place + 1 :]
    assert before < got[place] < behind
    assert repaired == (not before < wrong < behind)


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=30), st.integers(1, 1000))
def test_a_film_of_any_rates_has_no_wrong_time(steps: list[int], duration: int) -> None:
    times = list(itertools.accumulate(steps))
    assert clocked(times, duration) == (times, 0)


@given(frames_back=st.integers(2, 40), count=st.integers(50, 60))
def test_time_that_steps_back_for_good_is_caught_up_with(frames_back: int, count: int) -> None:
    first = [40 * n for n in range(count)]
    second = [first[-1] + 40 * (n - frames_back) for n in range(count)]
    got, repaired = clocked(first + second, 40)
    assert all(earlier < later for earlier, later in pairwise(got))
    assert got[:count] == first
    assert got[count + frames_back + 2 :] == second[frames_back + 2 :]
    assert repaired <= frames_back + 2


@pytest.mark.parametrize(("dts", "third"), [([23] * 5, 1040), (range(5), 1001)])
def test_a_time_that_stands_still_is_never_caught_up_with(dts: list[int], third: int) -> None:
    """As behind the joint of two MXF files, where the decoder's does too."""
    clock, pictures = PtsClock(40), zip((960, 1000, 900, 900, 900), dts, strict=True)
    times = [clock.next(pts, at, 40, 900) for pts, at in pictures]
    assert times == [960, 1000, third, third + 40, third + 80]


@given(st.lists(st.integers(), max_size=10), st.lists(st.booleans(), max_size=10))
def test_what_is_looked_at_ahead_comes_all_the_same(items: list[int], looks: list[bool]) -> None:
    ahead, got = OneAhead(iter(items)), []
    for item, look in zip(ahead, [*looks, *itertools.repeat(False, len(items))], strict=False):
        got.append(item)
        if look:
            assert ahead.peek() == (items[len(got)] if len(got) < len(items) else None)
    assert got == items


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e17])
def test_what_is_no_time_of_a_film_is_refused(seconds: float) -> None:
    for cut in ((seconds, None), (None, seconds)):
        with pytest.raises(SettingsError, match="A cut counts seconds"):
            Cut.of_seconds(*cut)


@given(st.lists(st.integers(1, 4_000), min_size=1, max_size=40))
def test_matroska_gets_times_that_it_tells_apart_and_no_others_are_moved(steps: list[int]) -> None:
    meant = list(itertools.accumulate(steps))
    times = MatroskaTimes(Fraction(1, 90_000))
    got = [times.next(pts) for pts in meant]
    milliseconds = [(pts + 45) // 90 for pts in got]
    assert milliseconds == sorted(set(milliseconds))
    late = [other - pts for pts, other in zip(meant, got, strict=True)]
    assert times.moved_ticks == {number: ticks for number, ticks in enumerate(late) if ticks}
    assert bool(times.notes) == bool(times.moved_ticks)
    if min(steps[1:], default=90) >= 90:
        assert got == meant
