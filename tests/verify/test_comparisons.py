"""What the audit makes of times, orders, numbers and colours that it has read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.verify.colors import MISTAKES, ColorChange, ColorSums
from lipt_stream.verify.pictures import align, ranges
from lipt_stream.verify.times import compare_times, unmatched_times


@given(st.lists(st.integers(1, 200), min_size=2, max_size=60), st.data())
def test_times_left_out_are_the_ones_named(steps_ms: list[int], data: st.DataObject) -> None:
    times = [float(t) / 1000 for t in np.cumsum(steps_ms)]
    left_out = data.draw(st.sets(st.integers(1, len(times) - 1), max_size=len(times) - 1))
    kept = [time + 5 for n, time in enumerate(times) if n not in left_out]
    missing, extra = unmatched_times(times, kept, 0.0004)
    assert missing == pytest.approx([times[n] - times[0] for n in sorted(left_out)])
    assert extra == []
    assert compare_times(times, kept, 0.0004).ok == (not left_out)


def test_times_that_the_source_lacks_or_turns_back_are_not_held_against_the_result() -> None:
    nan = float("nan")
    assert compare_times([0.0, nan, 0.08, 0.04, 0.16], [0.0, 0.04, 0.08, 0.12, 0.16], 0.001).ok
    assert not compare_times([0.0, nan, 0.08, 0.04, 0.16], [0.0, 0.04, 0.09, 0.12, 0.16], 0.001).ok
    assert not compare_times([0.0, nan, 0.08], [0.0, 0.09, 0.08], 0.001).ok, "a result has to increase"
    assert compare_times([nan, nan], [0.0, 0.04], 0.001).ok


@given(st.permutations(range(12)))
def test_any_order_but_the_right_one_is_named(order: list[int]) -> None:
    found = align(order, 12)
    assert not found.missing
    assert not found.repeated
    assert found.ok == (order == sorted(order)) == (not found.out_of_order)


@given(st.sets(st.integers(0, 100), min_size=1))
def test_ranges_name_every_number(numbers: set[int]) -> None:
    named: set[int] = set()
    for run in ranges(sorted(numbers), most=200).split(", "):
        first, _, last = run.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == numbers


@pytest.mark.parametrize(("name", "change"), MISTAKES, ids=[name for name, _ in MISTAKES])
def test_a_mistake_in_colour_is_called_by_its_name(name: str, change: ColorChange) -> None:
    images = np.random.default_rng(1).uniform(60, 190, (4, 36, 64, 3)).astype(np.float32)
    sums = ColorSums()
    for image in images:
        sums.add(image, change.apply(image))
    difference = sums.difference(1_000_000)
    assert difference.mistake == name
    assert name in "; ".join(difference.faults)
    unchanged = ColorSums()
    unchanged.add(images[0], images[0])
    assert unchanged.difference(1_000_000).faults == ()


@pytest.mark.parametrize(("pixels", "is_fault"), [(49, False), (1_000_000, True)])
def test_pictures_of_few_pixels_may_differ_more(pixels: int, is_fault: bool) -> None:
    image = np.random.default_rng(1).uniform(60, 190, (7, 7, 3)).astype(np.float32)
    sums = ColorSums()
    sums.add(image, image + np.array([2, -2, 5], np.float32))
    assert bool(sums.difference(pixels).faults) == is_fault
