"""Whoever takes what a feed hands out, and waits for what is to come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from lipt_stream.live.feed import FeedStatus
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.live import SessionPicture

PATIENCE_SECONDS = 30


class Watcher:
    """Takes a feed's callbacks, and waits for what is to come."""

    def __init__(self) -> None:
        self.pictures: list[SessionPicture] = []
        self.sounds: list[EncodedPacket] = []
        self.states: list[FeedStatus] = []
        self.callers: set[int] = set()
        self._changed = threading.Condition()

    def on_picture(self, picture: SessionPicture) -> None:
        self._note(self.pictures, picture)

    def on_sound(self, packet: EncodedPacket) -> None:
        self._note(self.sounds, packet)

    def on_state(self, status: FeedStatus) -> None:
        self._note(self.states, status)

    def _note(self, notes: list[Any], what: object) -> None:
        with self._changed:
            self.callers.add(threading.get_ident())
            notes.append(what)
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_SECONDS), self.states

    def wait_for_state(self, state: str, count: int = 1) -> FeedStatus:
        self.wait(lambda: [s.state for s in self.states].count(state) >= count)
        return [s for s in self.states if s.state == state][count - 1]

    def wait_for_more(self, pictures: int) -> None:
        wanted = len(self.pictures) + pictures
        self.wait(lambda: len(self.pictures) >= wanted)

    def check(self) -> None:
        assert all(a.pts < b.pts for a, b in pairwise(self.pictures))
        assert all(a.pts < b.pts for a, b in pairwise(self.sounds))
        assert len(self.callers) <= 1
