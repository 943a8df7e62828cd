"""Feeds that are watched; sessions that take their time to end, a promise that a busy machine cannot keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lipt_stream.live import broadcast, works
from lipt_stream.live.feed import Feed
from lipt_stream.media.live_address import LiveAddress, live_address
from tests.live.watcher import PATIENCE_SECONDS as FEED_PATIENCE_SECONDS
from tests.live.watcher import Watcher

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def _sessions_finish_what_they_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures in flight, and files whose process has only just begun: else what is in them would be left to chance."""
    monkeypatch.setattr(works, "JOURNEY_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(broadcast, "CLOSE_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def watcher() -> Watcher:
    """Takes what `feed` hands out."""
    return Watcher()


@pytest.fixture
def feed(watcher: Watcher) -> Iterator[Callable[..., Feed]]:
    """Starts a feed that the watcher watches, and stops it behind the test."""
    feeds: list[Feed] = []

    def start(address: str | LiveAddress, **options: object) -> Feed:
        feeds.append(
            Feed(
                live_address(address) if isinstance(address, str) else address,
                on_picture=watcher.on_picture,
                on_sound=watcher.on_sound,
                on_state=watcher.on_state,
                **options,  # type: ignore[arg-type]
            )
        )
        feeds[-1].start()
        return feeds[-1]

    yield start
    for each in feeds:
        each.stop(FEED_PATIENCE_SECONDS)
    watcher.check()
