"""A real session, server and browser for the tests of the page."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for clock_session, which benchmarks/preview_latency.py uses as well

from clock_session import ClockSession

from lipt_stream.web.preview import Preview
from lipt_stream.web.server import Server

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SAY_VIOLATIONS = """
addEventListener('securitypolicyviolation', (e) => console.error('CSP:', e.violatedDirective, e.blockedURI))
"""
TOKEN = "a-token-for-tests-that-is-long-enough"
PATIENCE_SECONDS = 90


@contextmanager
def serving(*, port: int = 0, token: str = TOKEN, sound: bool = False) -> Iterator[tuple[ClockSession, Server]]:
    preview = Preview()
    session = ClockSession(preview, sound=sound)
    server = Server(session, preview, port=port, token=token)
    server.start()
    session.start()
    try:
        yield session, server
    finally:
        session.stop()
        server.stop(PATIENCE_SECONDS)


@pytest.fixture(name="serving")
def serving_fixture() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="module")
def served() -> Generator[tuple[ClockSession, Server]]:
    """One session and its server for all tests of a module."""
    with serving(sound=True) as both:
        yield both


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """Not for longer than a module: while Playwright runs, this thread has a running event loop."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS, timeout=1000 * PATIENCE_SECONDS
        )
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Generator[Callable[..., Any]]:
    """Opens the page in a browser of its own. Fails the test where a page broke its content security policy, threw, or
    wrote an error to its console; of a server that is gone (`server_leaves`) the browser itself writes some."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_page(
        url: str, *, server_leaves: bool = False, prepare: Callable[[Any], None] | None = None, **how: Any
    ) -> Any:
        context = browser.new_context(viewport=how.pop("viewport", {"width": 1280, "height": 800}), **how)
        contexts.append(context)
        context.add_init_script(SAY_VIOLATIONS)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_SECONDS)

        def heard(message: Any) -> None:
            gone = server_leaves and ("Failed to load resource" in message.text or "WebSocket" in message.text)
            if message.type == "error" and not gone:
                complaints.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if prepare:
            prepare(page)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
