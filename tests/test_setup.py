"""`scripts/setup.sh`, with an interpreter that only notes what it was asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "setup.sh"
# It has pip once `venv` has run, as Debian's has with python3-venv.
INTERPRETER = """#!/bin/sh
echo "$*" >>asked
case "$*" in
*"-m venv"*) touch has_pip ;;
*"-m pip"*) [ -e has_pip ] ;;
esac
"""


def give_interpreter(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(INTERPRETER)
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_a_half_made_environment_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    give_interpreter(tmp_path / ".venv/bin/python")  # as `venv` leaves it where there is no ensurepip
    python = give_interpreter(tmp_path / "python")
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["bash", tmp_path / "scripts/setup.sh", "openvino"],
        env=os.environ | {"PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "-m venv .venv" in (tmp_path / "asked").read_text().splitlines()
    assert (tmp_path / ".venv/.installed-openvino").exists()
