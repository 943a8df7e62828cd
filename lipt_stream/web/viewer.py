"""One browser that watches: its own bounded queue, and the keyframe at which it starts, or starts again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MOST_ITEMS: Final = 150  # two to four seconds of pictures and sound
_MOST_BYTES: Final = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Item:
    """What is sent in one message: text for what the page is told, bytes for what it plays."""

    data: str | bytes
    is_picture: bool = False


class Viewer:
    """Everything here happens in the server's thread, save that counts and `wants_keyframe` are read by any.

    A viewer that cannot take what it is sent loses its whole queue and starts again at a keyframe, as one that has
    just come: it sees the present, not what it missed, and takes no more memory than its bounds. While something is
    on its way to it, it asks for no keyframe, so that one that hangs costs nobody else any.
    """

    def __init__(self) -> None:
        self.with_sound = False
        self.delivered = 0  # pictures
        self.dropped = 0
        self.closed = False
        self._queue: deque[Item] = deque()
        self._stats: Item | None = None
        self._sending: Item | None = None
        self._started = False
        self._changed = asyncio.Event()

    @property
    def wants_keyframe(self) -> bool:
        return not self._started and self._sending is None

    def put(self, fragment: Item, is_keyframe: bool, opening: Sequence[Item]) -> None:
        """Queues a fragment. One at which this viewer starts is preceded by `opening`; until then all are passed."""
        if not self._started and is_keyframe and self._sending is None:
            self._queue.extend(opening)
            self._started = True
        if not self._started:
            self.dropped += fragment.is_picture and self.delivered > 0
            return
        self._queue.append(fragment)
        if len(self._queue) > _MOST_ITEMS or sum(len(item.data) for item in self._queue) > _MOST_BYTES:
            self.restart()
        self._changed.set()

    def put_stats(self, text: str) -> None:
        """Replaces what it was told before and did not yet take."""
        self._stats = Item(text)
        self._changed.set()

    def restart(self) -> None:
        """Lets go what is queued, until the next keyframe."""
        self.dropped += sum(item.is_picture for item in self._queue)
        self._queue.clear()
        self._started = False

    def close(self) -> None:
        """Nothing more will come: `take` returns None."""
        self.closed = True
        self._changed.set()

    async def take(self) -> Item | None:
        """The next item to send, once there is one; None at the end. Taking it says that the last one was sent."""
        if self._sending is not None:
            self.delivered += self._sending.is_picture
            self._sending = None
        while not self.closed:
            if self._stats is not None:
                self._sending, self._stats = self._stats, None
                return self._sending
            if self._queue:
                self._sending = self._queue.popleft()
                return self._sending
            self._changed.clear()
            await self._changed.wait()
        return None
