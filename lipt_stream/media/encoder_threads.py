"""What an encoder's library does to the threads of this process, undone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scheduling_kept() -> Generator[None]:
    """What is opened within leaves the calling thread scheduled as it was, and its own threads like it.

    SVT-AV1, opened by root (as in most containers), makes the calling thread and dozens of its own SCHED_FIFO with the
    highest priority. Every thread and process that is started later inherits that, and together they leave the rest of
    the machine nothing.
    """
    if sys.platform != "linux":
        yield
        return
    policy, parameters, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        if os.sched_getscheduler(0) != policy:
            for thread in (_threads() - before) | {threading.get_native_id()}:
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.sched_setscheduler(thread, policy, parameters)


def _threads() -> set[int]:
    return {int(thread.name) for thread in Path("/proc/self/task").iterdir()}
