"""A connection that is given up is reset; one that is closed in order delivers all that was sent."""

from __future__ import annotations

import os
import socket
import sys
import tempfile

import pytest

from lipt_stream.media.abrupt_end import reset_when_closed
from tests.program import run_apart

SENT = 300_000  # more than the receiver takes before it reads


@pytest.mark.skipif(sys.platform == "win32", reason="Windows names no descriptors")
@pytest.mark.parametrize("is_reset", [True, False])
def test_what_is_unsent_at_the_end(is_reset: bool) -> None:
    ended = run_apart(_close_with_much_unsent, is_reset)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows names no descriptors")
def test_what_is_no_connection_is_left_as_it_is() -> None:
    """A sink that begins a file a minute asks twice a minute, with pipes and files beside what it looks for."""
    ended = run_apart(_ask_again_and_again, 0)
    assert ended.returncode == 0, ended.stderr


def _ask_again_and_again(_: int) -> None:
    with tempfile.TemporaryFile(), socket.socket():
        before = len(os.listdir("/dev/fd"))  # noqa: PTH208
        for _number in range(3):
            reset_when_closed(True)
            reset_when_closed(False)
        assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


def _close_with_much_unsent(is_reset: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    reset_when_closed(True)
    sender.setblocking(False)
    sent = sender.send(bytes(SENT))
    assert sent > 50_000
    if not is_reset:
        reset_when_closed(False)
    sender.close()
    if is_reset:
        with pytest.raises(ConnectionResetError):
            _read_all(receiver)
    else:
        assert _read_all(receiver) == sent
    receiver.close()


def _read_all(connection: socket.socket) -> int:
    return sum(iter(lambda: len(connection.recv(65_536)), 0))
