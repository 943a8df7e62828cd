"""`upscale`: the command, run in an empty folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lipt_stream.cli.main import main
from tests.cli.upscale_here import Command, Done


@pytest.fixture
def upscale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`lipt-stream upscale ...` in this process, run in an empty folder."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["lipt-stream", "upscale", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, errors = capfd.readouterr()
        return Done(int(end.value.code or 0), out, errors)

    return call
