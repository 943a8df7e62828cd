"""How a connection of this process ends that nobody closes: at once, for both sides.

A process that is killed while its server takes nothing leaves what it had sent to the system, which goes on offering
it, for minutes if need be. So long the server sees a publisher, and some (nginx) refuse the next one under its name.
"""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

_DESCRIPTORS: Final = Path("/dev/fd")  # of this process, on Linux and macOS
_RESET: Final = struct.pack("ii", 1, 0)
_DELIVER: Final = struct.pack("ii", 0, 0)


def reset_when_closed(is_reset: bool) -> None:
    """Whether every TCP connection of this process is reset when it is closed, with what is still unsent thrown away,
    as it should be where the process is killed; or delivered to its end, as where it is closed in order."""
    if not _DESCRIPTORS.is_dir():
        return
    for name in os.listdir(_DESCRIPTORS):  # noqa: PTH208  the folder's own descriptor is among them, and is gone then
        with suppress(OSError), _as_socket(int(name)) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET if is_reset else _DELIVER)


def _as_socket(descriptor: int) -> socket.socket:
    """A second handle of it. OSError where it is no socket."""
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
