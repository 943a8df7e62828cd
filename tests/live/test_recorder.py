"""Recordings that cannot be: said when they are asked for, not shown as running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lipt_stream.errors import SettingsError
from lipt_stream.live.recorder import Recorder


def test_a_file_is_no_folder_to_record_to(tmp_path: Path) -> None:
    file = tmp_path / "films"
    file.touch(0o700)
    recorder = Recorder(file)
    broadcast: Any = None  # is not asked for anything
    with pytest.raises(SettingsError, match="cannot be written to"):
        recorder.begin(broadcast)
    assert recorder.name is None
