"""Doors between rooms open downwards only, and each outside dependency has one door. See docs/design.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "lipt_stream"
WORDS = {"errors", "frame"}  # what everyone may use
MAY_IMPORT = {
    "errors": set(),
    "frame": set(),
    "model": set(),
    "media": set(),
    "observe": set(),
    "engine": {"model"},
    "train": {"model", "engine", "media"},
    "verify": {"media"},
    "live": {"engine", "model", "media", "observe"},
    "web": {"live", "media"},
    "stream": {"engine", "model", "media", "observe", "verify"},
    "cli": {"stream", "engine", "model", "media", "observe", "train", "verify", "live", "web"},
    "__init__": {"stream", "engine", "model"},
    "__main__": {"cli"},
}
ONE_DOOR = {
    "av": {"media"},
    "cryptography": {"media"},
    "cupy": {"engine"},
    "openvino": {"engine"},
    "pynvml": {"observe"},
    "typer": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
    "starlette": {"web"},
    "uvicorn": {"web"},
    "prometheus_client": {"web"},
}


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_doors_open_downwards(path: Path) -> None:
    parts = path.relative_to(PACKAGE).parts
    room = parts[0].removesuffix(".py")
    for name in imports_of(path):
        package, _, rest = name.partition(".")
        if package == "lipt_stream" and rest:
            target = rest.split(".")[0]
            if (PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file():
                assert target in WORDS | MAY_IMPORT[room] | {room}, f"{path.name} of {room} may not import {name}"
        if package in ONE_DOOR:
            assert room in ONE_DOOR[package], f"{package} has its door in {ONE_DOOR[package]}, not in {room}"
