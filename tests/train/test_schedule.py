"""What the share of the budget decides, for any budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.errors import SettingsError
from lipt_stream.train.schedule import LEAST_RATE, batch_shape, ema_decay, in_tail, learning_rate
from lipt_stream.train.spec import TrainSpec, spec_from_json

SHARES = st.floats(0, 0.9)
PROGRESS = st.floats(0, 1)
SPECS = st.builds(
    TrainSpec,
    model=st.just("nano"),
    batch=st.integers(1, 64),
    patch=st.integers(1, 12).map(lambda windows: 8 * windows),
    tail_patch=st.integers(1, 16).map(lambda windows: 8 * windows),
    learning_rate=st.floats(1e-5, 0.1),
    warmup_share=SHARES,
    tail_share=SHARES,
)


@given(spec=SPECS, progress=PROGRESS)
def test_the_rate_stays_between_its_bounds(spec: TrainSpec, progress: float) -> None:
    rate = learning_rate(spec, progress)
    assert LEAST_RATE * spec.learning_rate * 0.999 <= rate <= spec.learning_rate * 1.001


@given(spec=SPECS, one=PROGRESS, other=PROGRESS)
def test_the_rate_rises_and_then_falls(spec: TrainSpec, one: float, other: float) -> None:
    first, second = sorted((one, other))
    if second < spec.warmup_share:
        assert learning_rate(spec, first) <= learning_rate(spec, second)
    elif first >= spec.warmup_share:
        assert learning_rate(spec, first) >= learning_rate(spec, second)


@given(spec=SPECS)
def test_the_rate_ends_at_its_least(spec: TrainSpec) -> None:
    assert learning_rate(spec, 1.0) == pytest.approx(LEAST_RATE * spec.learning_rate)


@given(spec=SPECS, progress=PROGRESS)
def test_the_tail_is_the_last_share_and_costs_no_more(spec: TrainSpec, progress: float) -> None:
    assert in_tail(spec, progress) == (progress >= 1 - spec.tail_share)
    batch, patch = batch_shape(spec, progress)
    assert batch >= 1
    if not in_tail(spec, progress):
        assert (batch, patch) == (spec.batch, spec.patch)
    elif batch > 1:
        assert patch == spec.tail_patch
        assert batch * patch**2 <= 1.5 * spec.batch * spec.patch**2


@given(spec=SPECS, step=st.integers(0, 10**7))
def test_the_average_grows_longer(spec: TrainSpec, step: int) -> None:
    assert 0 < ema_decay(spec, step) <= ema_decay(spec, step + 1) <= spec.ema_decay


@given(spec=SPECS)
def test_a_spec_survives_json(spec: TrainSpec) -> None:
    assert spec_from_json(spec.as_json()) == spec


def test_differences_are_named() -> None:
    one, other = TrainSpec("nano", batch=16, minutes=3), TrainSpec("tiny", batch=8, minutes=3)
    assert one.differences(other) == ["model nano is tiny", "batch 16 is 8"]
    assert one.differences(one) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "tyny"}, "Did you mean tiny"),
        ({"scale": 5}, "--scale 5"),
        ({"scale": 1}, "sr at x1"),
        ({"task": "deblock"}, "deblock at x2"),
        ({"task": "deblock", "scale": 1}, "Add --degrade video"),
        ({"task": "debluck", "scale": 1, "degrade": "video"}, "--task debluck is none of sr, deblock, denoise"),
        ({"degrade": "film"}, "--degrade film is none of bicubic, video"),
        ({"loss": "l2"}, "--loss l2 is none of l1, psnr"),
        ({"minutes": 0}, "--minutes 0"),
        ({"minutes": float("nan")}, "--minutes nan"),
        ({"patch": 60}, "multiple of the window, 8"),
        ({"tail_patch": 4}, "--tail-patch 4"),
        ({"tail_patch": 100}, "96 is usual"),
        ({"patch": 8_000_000}, "--patch 8000000 is no multiple of the window, 8, up to 4096"),
        ({"batch": 0}, "--batch 0"),
        ({"batch": 10**20}, "--batch 100000000000000000000 is no batch. Give 1 to 65536"),
        ({"learning_rate": 0}, "--learning-rate 0"),
        ({"tail_share": 1.0}, "--tail-share 1.0"),
        ({"distill_weight": 1.1}, "--distill-weight 1.1"),
        ({"variants": 2}, "--variants 2 makes no sense with --degrade bicubic"),
        ({"ema_decay": -0.1}, "ema_decay -0.1"),
    ],
)
def test_specs_that_make_no_run(changes: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        TrainSpec(**({"model": "nano"} | changes))
    assert words in str(caught.value)
