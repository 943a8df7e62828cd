"""What is no file is refused before it is opened: addresses, without their secrets, and pipes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipt_stream.errors import InputError
from lipt_stream.media.containers import open_film, refuse_address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:9/x.mp4", "http://127.0.0.1:9/x.mp4"),
        ("rtsp://user:secret@camera/live?token=secret", "rtsp://camera/live"),
        ("https:/example.org/a.mp4", "https://example.org/a.mp4"),
    ],
)
def test_addresses_are_refused_without_their_secrets(address: str, shown: str) -> None:
    with pytest.raises(InputError, match="only local files") as refusal:
        refuse_address(address)
    assert shown in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("name", ["C:/films/a.mp4", "a:b.mp4", "films/a.mp4", "/http:/a.mp4", ""])
def test_paths_are_no_addresses(name: str) -> None:
    refuse_address(name)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="a pipe or a device"):
        open_film(tmp_path / "pipe.mp4")
