"""The service that docs/live.md shows: systemd takes it, and its command does what is said there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
STATE = "/var/lib/lipt-door"


@pytest.fixture(scope="module")
def unit() -> str:
    found = re.search(r"```ini\n(.*?)```", (REPOSITORY / "docs" / "live.md").read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def command(unit: str) -> list[str]:
    """Of the service, without the program's path, with the camera's address as systemd puts it in."""
    service = ConfigParser(interpolation=None)
    service.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  names of a unit are in mixed case
    service.read_string(unit)
    program, *words = shlex.split(service["Service"]["ExecStart"].replace("${CAMERA}", "test:64x64@10"))
    assert program.endswith("/bin/lipt-stream")
    return words


def test_systemd_knows_all_of_it(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    file = tmp_path / "lipt-door.service"
    file.write_text(re.sub(r"ExecStart=\S+", f"ExecStart={sys.executable}", unit), "utf-8")
    done = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in done.stderr.splitlines() if file.name in line]
    assert ours == []


def test_its_command_records_and_a_second_run_goes_on_behind_the_first(command: list[str], tmp_path: Path) -> None:
    words = [word.replace(STATE, str(tmp_path)) for word in command]
    assert f"{tmp_path}/door.mkv" in words
    for files in (1, 2):
        done = subprocess.run(
            [sys.executable, "-m", "lipt_stream", *words, "--model", "lanczos", "--duration", "1"],
            capture_output=True,
            text=True,
            timeout=120,
            env={"PATH": "", "XDG_STATE_HOME": str(tmp_path)},  # a service has no home
            cwd=REPOSITORY,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(list(tmp_path.glob("door-*.mkv"))) == files
    assert (tmp_path / "lipt-stream" / "token").is_file()
