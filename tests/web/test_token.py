"""The token is kept for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lipt_stream.web.token import kept_token, token_file


def test_it_is_kept_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "state" / "token"
    token = kept_token(path)
    assert len(token.secret) >= 32
    assert not token.not_kept
    assert kept_token(path) == token
    assert kept_token(tmp_path / "other").secret != token.secret


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_it_is_the_owners_alone_and_replaced_where_it_was_not(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = kept_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    renewed = kept_token(path)
    assert renewed.secret != token.secret
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_token(path) == renewed


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_what_is_no_token_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.touch(0o600)
    path.write_bytes(content)
    token = kept_token(path)
    assert len(token.secret) >= 32
    assert kept_token(path) == token


def test_without_a_place_to_keep_it_there_is_one_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "token"
    token = kept_token(path)
    assert len(token.secret) >= 32
    assert token.not_kept == f"{path.parent}: File exists"
    assert kept_token(path).secret != token.secret


def test_without_a_home_there_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")  # as Path.home does

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    token = kept_token()
    assert len(token.secret) >= 32
    assert "home" in token.not_kept


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert token_file() == Path("/state/lipt-stream/token")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert token_file() == Path.home() / ".local/state/lipt-stream/token"
