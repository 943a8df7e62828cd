"""Aside: what is said while nobody listens waits, as far as there is room, and the last word comes through."""

from __future__ import annotations

import threading

from lipt_stream.cli.aside import Aside


def test_the_last_thing_is_done_whoever_waits_before_it() -> None:
    may_go_on, is_held, done = threading.Event(), threading.Event(), []

    def hold() -> None:
        is_held.set()
        may_go_on.wait(20)

    aside = Aside("test")
    aside.do(hold)
    assert is_held.wait(20)
    for number in range(150):
        aside.do(lambda number=number: done.append(number))
    aside.do_last(lambda: done.append("report"))
    may_go_on.set()
    assert aside.finish(20)
    assert done == ["report"]


def test_those_before_the_last_are_done_where_there_is_room() -> None:
    done = []
    aside = Aside("test")
    for number in range(20):
        aside.do(lambda number=number: done.append(number))
    aside.do_last(lambda: done.append("report"))
    assert aside.finish(20)
    assert done == [*range(20), "report"]
