"""OpenVINO, imported so that it reports to nobody: the one place where it enters the house.

`import openvino` sends a usage event to Google Analytics and writes identifiers under the home folder, unasked, unless
its telemetry package cannot be found; then it takes a stub of its own. So for the length of the import it cannot be
found. Where the host program has imported openvino before, what was sent is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, cast

_TELEMETRY: Final = "openvino_telemetry"


@contextmanager
def _telemetry_hidden() -> Generator[None]:
    modules = cast("dict[str, ModuleType | None]", sys.modules)  # None: "import of it halted", an ImportError
    before = modules.get(_TELEMETRY)
    modules[_TELEMETRY] = None
    try:
        yield
    finally:
        if before is None:
            del modules[_TELEMETRY]
        else:
            modules[_TELEMETRY] = before


with _telemetry_hidden():
    import openvino
    from openvino import opset13

# Untyped from here on: the stubs leave every op's arguments unknown and contradict themselves about Model.
ov: Final[Any] = openvino
opset: Final[Any] = opset13
