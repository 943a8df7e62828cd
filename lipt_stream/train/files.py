"""A run's folder: held by one run at a time, and errors of the system about what is written become OutputError."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lipt_stream.errors import OutputError

if sys.platform != "win32":
    import fcntl


@contextmanager
def writing(path: Path, hint: str = "Check the folder and its space") -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror}", hint) from error


@contextmanager
def held(folder: Path) -> Generator[None]:
    """A folder for this process alone: two that write checkpoints into one place would leave a mixture of both.

    OutputError where another process holds it. Windows, and file systems without locks, let everybody in.
    """
    if sys.platform == "win32":
        yield
        return
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"Another run is at work in {folder}", "Wait for its end, or choose another --out"
            ) from error
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise OutputError(f"Cannot lock {folder}: {error.strerror}", "Choose another --out") from error
        yield
    finally:
        os.close(handle)


_WITHOUT_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EINVAL)
"""What file systems say that know no locks, or none of folders (NFS)."""
