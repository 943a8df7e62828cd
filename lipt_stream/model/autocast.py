"""Where mixed precision ends: what is summed or merged in float32 although autocast is on around it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Where autocast is on, it is off within. No context where it is not, which an exporter would take for a layer."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return cast("AbstractContextManager[None]", torch.autocast(device.type, enabled=False))
    return nullcontext()
