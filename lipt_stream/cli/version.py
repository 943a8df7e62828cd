"""Which lipt-stream this is."""

from __future__ import annotations

import importlib.metadata


def version() -> str:
    """In words where it is not installed: by PYTHONPATH it runs from its folder, as on a bare GPU machine."""
    try:
        return importlib.metadata.version("lipt-stream")
    except importlib.metadata.PackageNotFoundError:
        return "not installed, run from its folder"
