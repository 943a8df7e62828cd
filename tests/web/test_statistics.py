"""The session is asked beside the event loop: its answer may take long, and viewers are not to wait for it."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Mapping
from typing import cast, get_args

import anyio
import pytest
from clock_session import ClockSession

from lipt_stream.live.feed import FeedStatus
from lipt_stream.live.stats import DropReason, LiveMeters
from lipt_stream.live.stats_line import stats_line
from lipt_stream.web import statistics as statistics_module
from lipt_stream.web.preview import Preview
from lipt_stream.web.statistics import Statistics


def test_the_session_of_these_tests_tells_what_a_real_one_tells() -> None:
    real = stats_line(LiveMeters(), FeedStatus(shown="test"), None, None, paused=False, recording=None)
    told = ClockSession(Preview()).stats()
    assert told.keys() == real.keys()
    assert cast("Mapping[str, int]", told["dropped_by_reason"]).keys() <= set(get_args(DropReason))


def test_the_loop_goes_on_while_the_session_is_asked() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    class Slow(ClockSession):
        def stats(self) -> Mapping[str, object]:
            asked.set()
            assert may_answer.wait(20), "the loop stands still"
            return super().stats()

    async def ask() -> list[str]:
        preview = Preview()
        statistics = Statistics(Slow(preview), preview)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(statistics.run)
            while not asked.is_set():
                await anyio.sleep(0.01)
            may_answer.set()
            while len(statistics.greeting()) < 2:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        return statistics.greeting()

    assert '"rss_mb": 611.5' in anyio.run(ask)[1]


@pytest.mark.parametrize("lack", [OSError(errno.EMFILE, "Too many open files"), RuntimeError("can't start new thread")])
def test_a_second_without_an_answer_is_not_the_last(monkeypatch: pytest.MonkeyPatch, lack: Exception) -> None:
    monkeypatch.setattr(statistics_module, "_SECONDS_BETWEEN", 0.01)
    fails = [True, False, True]

    class Exhausted(ClockSession):
        def stats(self) -> Mapping[str, object]:
            if fails and fails.pop():
                raise lack
            return super().stats()

    async def ask() -> int:
        preview = Preview()
        statistics = Statistics(Exhausted(preview), preview)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(statistics.run)
            with anyio.fail_after(20):
                while len(json.loads(statistics.greeting()[0])["history"]) < 3:
                    await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
        return len(fails)

    assert anyio.run(ask) == 0
