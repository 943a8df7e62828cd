"""Small operations on a CPU that keep to the thread that calls them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Generator[None]:
    """torch's operations of this thread run in it alone. Setting and restoring costs less than a microsecond.

    Otherwise each would end at an OpenMP barrier; on cores shared with a decoder and an encoder those cost a
    scheduler's time slice each, a hundred times the work itself.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
