"""Small operations on a CPU that keep to the thread that calls them."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_within: set[int] = set()  # threads
_usual = 1  # number of threads, when the first of them came


@contextmanager
def one_thread() -> Generator[None]:
    """torch's operations of this thread run in it alone. Setting and restoring costs a few microseconds.

    Otherwise each would end at an OpenMP barrier; on cores shared with a decoder and an encoder those cost a
    scheduler's time slice each, a hundred times the work itself.
    """
    global _usual
    me = threading.get_ident()
    if me in _within:
        yield
        return
    with _lock:
        threads = _threads_here()
        if not _within:
            _usual = threads
        _within.add(me)
        torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _within.remove(me)
            torch.set_num_threads(threads)


def threads_here() -> int:
    """How many threads torch takes in this thread where it does not keep to itself."""
    with _lock:
        return _threads_here()


def _threads_here() -> int:
    """A thread that begins takes the number that any other has set last: that of one which keeps to itself is not
    meant for it."""
    threads = torch.get_num_threads()
    return _usual if threads == 1 and _within else threads
