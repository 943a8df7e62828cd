"""What other users of this machine see of the command line: the addresses in it without their passwords."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from lipt_stream.media.redact import redact

_BEGIN, _END = 45, 46  # of the arguments: fields 48 and 49 of /proc/self/stat (proc(5)), counted behind the name


def hide_credentials() -> None:
    """On Linux, overwrites what `ps` and /proc/PID/cmdline show. Until then, some tenths of a second after the start of
    Python, it can be read, and elsewhere always. `sys.argv` stays as it is.
    """
    if sys.platform != "linux":
        return
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    except OSError:  # no /proc here, and so nobody who reads it
        return
    begin, end = int(fields[_BEGIN]), int(fields[_END])
    if not 0 < begin < end:  # a sandbox shows no addresses
        return
    shown = ctypes.string_at(begin, end - begin)
    hidden = b"\0".join(_hidden(argument) for argument in shown.split(b"\0"))
    ctypes.memmove(begin, hidden, len(shown))


def _hidden(argument: bytes) -> bytes:
    """As long as it was: the places of the others stay theirs."""
    text = argument.decode(errors="surrogateescape")
    return redact(text).encode(errors="surrogateescape")[: len(argument)].ljust(len(argument))
