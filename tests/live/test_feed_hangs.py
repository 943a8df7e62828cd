"""Feed with sources that hang, as only FFmpeg does: sources of our own that do it for it."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from lipt_stream.live.feed import Feed
from lipt_stream.media.live import LiveItem, LivePicture, LiveSound, PassedOver
from lipt_stream.media.live_address import LiveAddress, live_address
from lipt_stream.media.live_errors import live_error
from lipt_stream.media.test_card import TestCard
from tests.live.watcher import PATIENCE_SECONDS, Watcher


class Hanging:
    """A test card whose connections hang, as inside FFmpeg, after `count` pictures: until `release` is set, and deaf to
    being cancelled. Then each gives the pictures that it still had."""

    def __init__(self, count: int) -> None:
        self.release = threading.Event()
        self.connections = 0
        self._count = count

    def __call__(self, address: LiveAddress, **_: object) -> HangingCard:
        self.connections += 1
        return HangingCard(TestCard(address, cancelled=threading.Event()), self.release, self._count)


class HangingCard:
    def __init__(self, card: TestCard, release: threading.Event, count: int) -> None:
        self._card, self._release, self._count = card, release, count
        self.video_format, self.audio = card.video_format, card.audio
        self.is_finite, self.damaged, self.notes = False, 1, ["a note"]

    def __iter__(self) -> Iterator[LiveItem]:
        shown = 0
        for item in self._card:
            yield item
            shown += isinstance(item, LivePicture)
            if shown == self._count:
                self._release.wait()

    def close(self) -> None:
        self._card.close()


def test_what_hangs_is_let_go_and_few_hang_at_once(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    hanging, before = Hanging(count=3), set(threading.enumerate())
    running = feed("test:64x64@100", stall_seconds=1, pause=lambda _: time.sleep(0.01), open_source=hanging)
    watcher.wait_for_state("gone", 3)
    time.sleep(0.3)
    status = running.status()
    assert (status.state, status.faults, status.hanging, hanging.connections) == ("gone", 3, 3, 3)
    assert "No picture came from test:64x64@100 for 1 s" in status.last_fault
    assert (status.damaged, status.notes) == (3, ("a note",)), "of all three connections, each note once"
    assert len(watcher.pictures) == 9
    hanging.release.set()
    watcher.wait_for_state("live", 4)
    watcher.wait_for_more(20)
    watcher.wait(lambda: not running.status().hanging)
    running.stop(PATIENCE_SECONDS)
    status = running.status()
    assert (status.faults, status.reconnects, status.hanging) == (3, 3, 0)
    assert not set(threading.enumerate()) - before


@pytest.mark.parametrize("hangs_at_once", [False, True])
def test_a_camera_that_hangs_is_busy_by_ourselves_and_waited_for(
    hangs_at_once: bool, watcher: Watcher, feed: Callable[..., Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipt_stream.live.feed._CONNECT_SECONDS", 0.2)
    hanging, asked = Hanging(count=3), 0

    def opened(address: LiveAddress, **_: object) -> HangingCard:
        nonlocal asked
        asked += 1
        if asked == 1 and hangs_at_once:
            hanging.release.wait()
        if asked > 1 and not hanging.release.is_set():
            raise live_error(OSError(errno.EBUSY, "busy"), address, is_open=False)
        return hanging(live_address("test:64x64@100"))

    camera = LiveAddress(kind="webcam", shown="webcam:/dev/video0", url="/dev/video0")
    running = feed(camera, stall_seconds=0.1, pause=lambda _: time.sleep(0.01), open_source=opened)
    watcher.wait(lambda: "hangs" in running.status().last_fault)
    assert running.status().state == "gone"
    assert not any("another program" in status.last_fault for status in watcher.states)
    hanging.release.set()
    watcher.wait_for_more(20)


def test_sound_alone_is_a_fault(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    class SoundOnly(HangingCard):
        def __iter__(self) -> Iterator[LiveItem]:
            return (item for n, item in enumerate(self._card) if n == 0 or isinstance(item, LiveSound))

    def opened(address: LiveAddress, *, cancelled: threading.Event, **_: object) -> SoundOnly:
        return SoundOnly(TestCard(address, cancelled=cancelled), threading.Event(), 1)

    feed("test:64x64@100", stall_seconds=0.2, open_source=opened)
    assert "No picture" in watcher.wait_for_state("gone").last_fault
    watcher.wait(lambda: len(watcher.sounds) > 1)


def test_pictures_that_are_passed_over_are_no_stall(watcher: Watcher, feed: Callable[..., Feed]) -> None:
    """The decoder is too slow, and the camera sends a keyframe every few seconds: reconnecting would be no faster."""

    class SlowlyDecoded(HangingCard):
        def __iter__(self) -> Iterator[LiveItem]:
            items = iter(self._card)
            yield next(item for item in items if isinstance(item, LivePicture))
            for _ in range(12):
                time.sleep(0.2)
                yield PassedOver()
            yield from items

    def opened(address: LiveAddress, *, cancelled: threading.Event, **_: object) -> SlowlyDecoded:
        return SlowlyDecoded(TestCard(address, cancelled=cancelled), threading.Event(), 1)

    passed_over: list[int] = []
    running = feed("test:64x64@100", stall_seconds=2, open_source=opened, on_passed_over=lambda: passed_over.append(1))
    watcher.wait_for_more(20)
    assert running.status().faults == 0
    assert len(passed_over) == 12
