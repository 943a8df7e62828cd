"""Where a live thread leaves the newest item for the next one: what was not fetched in time is given back."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most one item. Any thread may call anything."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._changed = threading.Condition()

    def put(self, item: T) -> T | None:
        """Leave `item`; returns the older one that it takes the place of, which nobody will get any more."""
        with self._changed:
            older, self._item = self._item, item
            self._changed.notify()
            return older

    def take_back(self) -> T | None:
        """The item that nobody fetched yet, if there is one."""
        with self._changed:
            item, self._item = self._item, None
            return item

    def get(self, timeout_seconds: float) -> T | None:
        """The item, None if none came in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None, timeout_seconds)
            item, self._item = self._item, None
            return item
