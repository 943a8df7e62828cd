"""The ladder against a simulated machine: it steps down at once, climbs with care, never flickers, and settles."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lipt_stream.errors import SettingsError
from lipt_stream.live.frame_window import WINDOW_FRAMES, WINDOW_SECONDS
from lipt_stream.live.ladder import (
    CALM_SECONDS,
    FULL,
    LONGEST_FRAME_SECONDS,
    ROOM,
    SETTLE_SECONDS,
    STEP_SECONDS,
    Ladder,
    Rung,
    Step,
)

LATENCY_SECONDS = 0.2
FIRST_FRAME = 1.85  # of a whole one: every tile with its halo
RUNGS = (Rung("small", 2400), Rung("tiny", 376), Rung("nano", 35), Rung("lanczos", 3))
NAMES = [rung.name for rung in RUNGS]
EXACT = {rung.name: rung.cost / 20_000 for rung in RUNGS}  # small 120 ms, tiny 19, nano 1.8, lanczos 0.15


@dataclass(frozen=True)
class Load:
    """What machine and source are like for a while."""

    seconds: float
    slowness: float = 1.0  # times what every rung takes
    share: float = 1.0  # of each frame that has to be computed
    fps: float = 30.0
    noise: float = 0.0  # standard deviation of a frame's time, relative


@dataclass
class Stay:
    """On one rung under one load."""

    rung: str
    load: Load
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass
class Machine:
    """A source and one worker, as in a session: frames that are late are dropped, others computed one by one."""

    seconds: Mapping[str, float]  # that a whole frame takes
    loads: Sequence[Load]
    warm_up: Sequence[str] = ("small", "tiny", "nano", "lanczos")
    stalls: Mapping[int, float] = field(default_factory=dict[int, float])  # by number of frame: seconds more
    steps: list[Step] = field(default_factory=list[Step])
    stays: list[Stay] = field(default_factory=list[Stay])

    def run(self, seed: int = 0) -> Machine:
        noise = random.Random(seed)
        load = self.loads[0]
        warm_up = {name: self.seconds[name] * load.slowness for name in self.warm_up}
        ladder = Ladder(RUNGS, warm_up, 0.0, 1 / load.fps)
        now, is_first = 0.0, True
        for number, (captured, load) in enumerate(self._frames()):
            if not self.stays or (self.stays[-1].rung, self.stays[-1].load) != (ladder.rung, load):
                self.stays.append(Stay(ladder.rung, load, now, now))
            now = max(now, captured)
            if now - captured > LATENCY_SECONDS - 1 / load.fps:
                step = ladder.dropped(now, 1 / load.fps)
            else:
                network_share = FIRST_FRAME if is_first else load.share
                share = self.share(ladder.rung, network_share)
                busy = self.seconds[ladder.rung] * load.slowness * share * max(0.1, noise.gauss(1, load.noise))
                busy += self.stalls.get(number, 0.0)
                now += busy
                step, is_first = ladder.computed(now, busy, 1 / load.fps, share, network_share), False
            self.stays[-1].ended = now
            if step is not None:
                self.steps.append(step)
                is_first = True
        return self

    def _frames(self) -> Iterator[tuple[float, Load]]:
        """When each frame is captured."""
        at = until = 0.0
        for load in self.loads:
            until += load.seconds
            while at < until:
                yield at, load
                at += 1 / load.fps

    @property
    def final(self) -> str:
        return self.stays[-1].rung

    def need(self, rung: str, load: Load) -> float:
        """How much of the time between frames a rung needs."""
        return self.seconds[rung] * load.slowness * self.share(rung, load.share) * load.fps

    @staticmethod
    def share(rung: str, network_share: float) -> float:
        """Lanczos computes all or nothing."""
        return network_share if rung != "lanczos" else float(network_share > 0)


def assert_calm(machine: Machine) -> None:
    """No rung is entered twice within STEP_SECONDS, and none is climbed to so soon after another step."""
    entered = [(machine.stays[0].rung, 0.0), *((step.to_rung, step.at_seconds) for step in machine.steps)]
    for (rung, at), (other, later) in itertools.combinations(entered, 2):
        assert rung != other or later - at >= STEP_SECONDS
    for (before, since), (rung, at) in itertools.pairwise(entered):
        assert NAMES.index(rung) > NAMES.index(before) or at - since >= STEP_SECONDS


def assert_left_at_once(machine: Machine) -> None:
    """What clearly does not hold is left, save for the last rung: after a window of frames, some of them slow."""
    for stay in machine.stays:
        if stay.rung != NAMES[-1] and machine.need(stay.rung, stay.load) > 1.2:
            slow_frame = machine.seconds[stay.rung] * stay.load.slowness * max(stay.load.share, FIRST_FRAME)
            window = max(WINDOW_SECONDS, WINDOW_FRAMES / stay.load.fps)
            assert stay.seconds <= SETTLE_SECONDS + window + 0.5 + 4 * slow_frame, stay


loads = st.builds(
    Load,
    seconds=st.floats(0.5, 25),
    slowness=st.floats(0.3, 8),
    share=st.one_of(st.just(1.0), st.floats(0.0, 1.0)),
    fps=st.sampled_from([5.0, 15.0, 25.0, 30.0]),
    noise=st.sampled_from([0.0, 0.1, 0.3]),
)


def distorted(factors: Sequence[float]) -> dict[str, float]:
    """Rungs that take other multiples of each other than their costs promise; better ones never less."""
    seconds = [EXACT[name] * factor for name, factor in zip(NAMES, factors, strict=True)]
    return dict(zip(NAMES, reversed(list(itertools.accumulate(reversed(seconds), max))), strict=True))


worlds = st.tuples(*[st.floats(0.4, 2.5)] * len(RUNGS)).map(distorted)
stalls = st.dictionaries(st.integers(0, 3000), st.floats(0.05, 2), max_size=5)


@settings(max_examples=50)
@given(world=worlds, loads=st.lists(loads, min_size=1, max_size=8), stalls=stalls, seed=st.integers(0, 99))
def test_whatever_happens_it_never_flickers_and_never_stays_where_the_rate_does_not_hold(world, loads, stalls, seed):
    machine = Machine(world, loads, stalls=stalls).run(seed)
    assert_calm(machine)
    if not stalls:
        assert_left_at_once(machine)


TRACES = {
    "step": [Load(60), Load(60, slowness=3), Load(90)],
    "ramp": [Load(3, slowness=1 + step / 8) for step in range(24)]
    + [Load(3, slowness=4 - step / 8) for step in range(24)],
    "noise": [Load(30, slowness=1.2, noise=0.4), Load(200, slowness=1.5, noise=0.4)],
    "a GPU that halves its clock": [Load(40), Load(40, slowness=2), Load(40), Load(5, slowness=2), Load(90)],
    "a still scene that starts to move": [
        Load(20, slowness=40, share=0.03),
        Load(8, slowness=40),
        Load(60, slowness=40, share=0.0),
    ]
    * 3,
    "a source that changes its rate": [Load(60, fps=15), Load(60, fps=60), Load(90, fps=25)],
}


@pytest.mark.parametrize("trace", TRACES.values(), ids=TRACES)
@pytest.mark.parametrize("seed", [1, 2])
def test_known_traces(trace: list[Load], seed: int) -> None:
    machine = Machine(EXACT, trace).run(seed)
    assert_calm(machine)
    assert_left_at_once(machine)
    assert machine.steps
    assert len(machine.steps) <= 14


@settings(max_examples=12)
@given(
    before=st.floats(0.3, 8),
    load=st.builds(Load, seconds=st.just(150.0), slowness=st.floats(0.1, 30), noise=st.sampled_from([0.0, 0.1])),
    warm_up=st.lists(st.sampled_from(NAMES), min_size=1, unique=True),
)
def test_a_constant_load_ends_on_the_best_rung_that_holds(before: float, load: Load, warm_up: list[str]) -> None:
    """After any other load, in the time that a climb over every rung takes. What is all but full may go either way."""
    assume(load.noise == 0 or not any(0.85 < EXACT[name] * load.slowness * load.fps < 1 for name in NAMES))
    machine = Machine(EXACT, [Load(20, slowness=before), load], warm_up).run()
    bound = 20 + (len(RUNGS) + 1) * (STEP_SECONDS + CALM_SECONDS)
    assert all(step.at_seconds <= bound for step in machine.steps)
    best = NAMES.index(machine.final)
    if best < len(NAMES) - 1:
        assert machine.need(machine.final, load) <= FULL * 1.02
    if best > 0 and machine.seconds[NAMES[best - 1]] * load.slowness < LONGEST_FRAME_SECONDS:
        assert machine.need(NAMES[best - 1], load) > ROOM * 0.95


@settings(max_examples=8)
@given(world=worlds, slowness=st.floats(0.3, 8), warm_up=st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_where_costs_promise_too_much_or_little_trials_become_rare(world, slowness, warm_up):
    load = Load(400, slowness=slowness)
    machine = Machine(world, [load], warm_up).run()
    assert_calm(machine)
    failing = [stay for stay in machine.stays if machine.need(stay.rung, load) > 1 and stay.rung != NAMES[-1]]
    assert sum(stay.seconds for stay in failing if stay.began > 30) <= 0.05 * load.seconds
    assert len([step for step in machine.steps if step.at_seconds > 200]) <= 4


@pytest.mark.parametrize(
    ("warm_up", "fps", "first"),
    [
        ({"tiny": 0.019}, 30, "tiny"),
        ({"tiny": 0.051}, 30, "nano"),
        ({"nano": 0.0018}, 30, "tiny"),
        ({"nano": 0.0018}, 5, "small"),
        ({"nano": 0.15}, 30, "lanczos"),
        ({"nano": 0.15, "tiny": 0.02}, 30, "tiny"),
        ({"lanczos": 0.5}, 30, "lanczos"),
    ],
)
def test_one_measurement_chooses_the_first_rung(warm_up: dict[str, float], fps: float, first: str) -> None:
    assert Ladder(RUNGS, warm_up, 0.0, 1 / fps).rung == first


def feed(ladder: Ladder, began: float, seconds: float, busy: float, moves: float = 1.0, fps: float = 30) -> list[Step]:
    """Frames at a rate that took so long, whatever the rung, and were computed whole; a network had to only in part."""
    taken = (ladder.computed(began + k / fps, busy, 1 / fps, 1.0, moves) for k in range(int(seconds * fps)))
    return [step for step in taken if step is not None]


def test_a_step_says_when_from_where_to_where_and_why() -> None:
    ladder = Ladder(RUNGS, {"tiny": 0.02}, 0.0, 1 / 30)
    (step,) = feed(ladder, 0.0, 2.0, 0.051)
    assert (step.from_rung, step.to_rung) == ("tiny", "nano")
    assert step.reason == "tiny takes 51 ms of the 33 ms that a frame has"
    assert 1 < step.at_seconds < 2
    assert ladder.rung == "nano"


def test_down_over_several_rungs_at_once_where_the_estimate_says_so() -> None:
    ladder = Ladder(RUNGS, {"small": 0.02}, 0.0, 1 / 30)
    step = feed(ladder, 0.0, 2.0, 1.5)[0]
    assert (step.from_rung, step.to_rung) == ("small", "nano")


def test_up_says_what_it_expects() -> None:
    ladder = Ladder(RUNGS, {"nano": 0.08, "lanczos": 0.008}, 0.0, 1 / 10)
    assert ladder.rung == "lanczos"
    (step,) = feed(ladder, 0.0, 15.0, 0.008, moves=0.25, fps=10)
    assert (step.from_rung, step.to_rung) == ("lanczos", "nano")
    assert step.reason == "nano should take 20 ms of the 100 ms that a frame has"
    assert step.at_seconds >= STEP_SECONDS


def test_a_still_scene_lifts_a_rung_that_could_not_hold_it_moving() -> None:
    """640x360 at 30 fps, nano at 150 ms a frame: 5 % of the frame moves, then all of it."""
    seconds = {"small": 7.0, "tiny": 1.0, "nano": 0.15, "lanczos": 0.005}
    still, moving = Load(30, share=0.05), Load(30)
    machine = Machine(seconds, [still, moving]).run()
    assert [(step.from_rung, step.to_rung) for step in machine.steps] == [("lanczos", "nano"), ("nano", "lanczos")]
    assert machine.steps[1].at_seconds < 30 + 2


def test_dropped_frames_are_a_reason_though_the_rung_looks_fast() -> None:
    ladder = Ladder(RUNGS, {"nano": 0.002}, 0.0, 1 / 30)
    steps: list[Step | None] = []
    for k in range(60):
        report = ladder.dropped(k / 30, 1 / 30) if k % 5 == 4 else ladder.computed(k / 30, 0.01, 1 / 30, 1, 1)
        steps.append(report)
    (step,) = (step for step in steps if step)
    assert (step.from_rung, step.to_rung) == ("tiny", "nano")
    assert step.reason.startswith("tiny dropped 5 of ")


def test_one_moment_in_which_the_machine_stands_still_is_no_reason() -> None:
    machine = Machine(EXACT, [Load(60)], stalls={900: 0.8}).run()
    assert machine.steps == []


def test_frames_that_take_longer_than_the_window_are_judged_by_two_of_them() -> None:
    machine = Machine(EXACT, [Load(20, fps=5), Load(20, slowness=8, fps=5)]).run()
    assert [(step.from_rung, step.to_rung) for step in machine.steps] == [("small", "tiny")]
    assert machine.steps[0].at_seconds < 20 + 3 * 8 * EXACT["small"]


def test_a_source_that_stood_still_says_nothing() -> None:
    """A minute without a frame, and a slow one when they come again."""
    ladder = Ladder(RUNGS, {"tiny": 0.019}, 0.0, 1 / 30)
    assert feed(ladder, 0.0, 5.0, 0.019) == []
    assert ladder.computed(65.0, 0.3, 1 / 30, 1, 1) is None
    assert feed(ladder, 65.1, 5.0, 0.019) == []


def test_without_any_measurement_there_is_no_ladder() -> None:
    with pytest.raises(ValueError, match="no rung was warmed up"):
        Ladder(RUNGS, {"base": 1.0}, 0.0, 1 / 30)


def test_a_rung_that_fails_again_and_again_is_tried_ever_more_rarely() -> None:
    """Costs promise 14 ms of tiny; it takes 40."""
    machine = Machine(EXACT | {"tiny": 0.04, "nano": 0.0013}, [Load(600)], warm_up=["nano"]).run()
    tried = [step.at_seconds for step in machine.steps if step.to_rung == "tiny"]
    waits = [later - at for at, later in itertools.pairwise(tried)]
    assert len(tried) >= 4
    assert all(longer > shorter * 1.5 for shorter, longer in itertools.pairwise(waits))


def test_a_pinned_rung_stays_and_lets_go() -> None:
    ladder = Ladder(RUNGS, {"nano": 0.0018}, 0.0, 1 / 30)
    step = ladder.pin("small", 1.0)
    assert step == Step(1.0, "tiny", "small", "small was asked for")
    assert ladder.is_pinned
    assert ladder.pin("small", 1.5) is None
    assert feed(ladder, 2.0, 20.0, 0.12) == []
    assert ladder.pin(None, 22.0) is None
    assert not ladder.is_pinned
    step = feed(ladder, 22.0, 2.0, 0.12)[0]
    assert (step.from_rung, step.to_rung) == ("small", "tiny")
    with pytest.raises(SettingsError, match="Did you mean tiny"):
        ladder.pin("tini", 30.0)
    assert not ladder.is_pinned


def test_a_single_rung_is_kept() -> None:
    ladder = Ladder(RUNGS[2:3], {"nano": 0.5}, 0.0, 1 / 30)
    assert feed(ladder, 0.0, 30.0, 0.5) == []
    assert feed(ladder, 30.0, 30.0, 0.001) == []
