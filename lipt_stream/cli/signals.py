"""SIGINT and SIGTERM: the first asks the run to finish what is in flight, the second ends it at once.

Where nothing in flight is worth it, the first ends it (`terminated_in_order`)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from lipt_stream.cli.screen import say_error, with_notes
from lipt_stream.stream.pipeline import Stop


class Signals:
    """Which signal asked for the stop: its number decides the exit code (128 + number)."""

    def __init__(self, consequence: str, say: Callable[[str], None]) -> None:
        self.stop = Stop()
        self.received = 0
        self._consequence, self._say = consequence, say

    @property
    def exit_code(self) -> int:
        return 128 + self.received

    def handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        self.stop.request()
        with suppress(RuntimeError):  # this thread may be amid another line
            self._say(f"\nstopping: {self._consequence} (once more to end at once)")


@contextmanager
def stopping_on_signals(
    consequence: str = "finishing the frames in flight", say: Callable[[str], None] = say_error
) -> Generator[Signals]:
    """Within this block the two signals set `Signals.stop`; afterwards they do what they did before.

    `consequence` is what the user is told, by `say`, of the first signal. The second ends the block, and the command
    with `exit_code`.
    """
    signals = Signals(consequence, say)
    before = {number: signal.signal(number, signals.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    except KeyboardInterrupt as interrupt:
        say(with_notes("stopped", interrupt))
        raise typer.Exit(signals.exit_code) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def terminated_in_order() -> Generator[None]:
    """Within this block SIGTERM is taken as Ctrl-C is, at once: what is open is closed, and temporary files go away.
    The exit code is 143."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    except KeyboardInterrupt:
        if not received:
            raise
        raise typer.Exit(128 + received[0]) from None
    finally:
        signal.signal(signal.SIGTERM, before)
