"""Where a live thread leaves items for the next one: what is not fetched in time is given back, oldest first."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items in the order in which they came. Any thread may call anything."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._changed = threading.Condition()

    def put(self, item: T, at_most: int) -> list[T]:
        """Leave `item`; returns the oldest ones of which more than `at_most` would wait now. Nobody gets those."""
        with self._changed:
            self._items.append(item)
            self._changed.notify()
            return [self._items.popleft() for _ in range(len(self._items) - at_most)]

    def take_back(self) -> T | None:
        """The oldest item that nobody fetched yet, if there is one."""
        with self._changed:
            return self._items.popleft() if self._items else None

    def get(self, timeout_seconds: float) -> T | None:
        """The oldest item, None if none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._items, timeout_seconds)
            return self._items.popleft() if self._items else None
