"""What the tests of the page ask of it, and wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from clock_session import READ_CLOCK, ClockSession

from lipt_stream.web.server import Server

Served = tuple[ClockSession, Server]
Visit = Callable[..., Any]

MOVING = "document.getElementById('veil').hidden"
STATE = "document.getElementById('state-text').textContent"
PATIENCE_SECONDS = 90
PRESENT_MS = 10_000  # no test is timed: this only tells a picture of now from one that hangs, on the busiest machine


def until(page: Any, expression: str) -> None:
    """Waits until a JavaScript expression is true. The page's policy forbids what Playwright's own wait does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"not in {PATIENCE_SECONDS} seconds: {expression}"
        page.wait_for_timeout(50)


def wait_for_picture(page: Any) -> None:
    until(page, MOVING)


def assert_present(page: Any, pictures: int = 10) -> None:
    """Pictures move, and they are of now, not of a minute ago."""
    seen = page.evaluate(READ_CLOCK, pictures)
    assert len({picture["time"] for picture in seen}) > pictures / 2
    assert all(picture["age"] < PRESENT_MS for picture in seen), seen
