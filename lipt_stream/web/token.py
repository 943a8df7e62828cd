"""The secret in the page's address, kept from run to run, so that an open page finds its way back after a restart."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Token(NamedTuple):
    """The secret, and why it is this run's alone: empty where the next run finds it again."""

    secret: str
    not_kept: str = ""


def token_file() -> Path:
    """Where the token is kept: `$XDG_STATE_HOME/lipt-stream/token`, ~/.local/state where that is not set."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "lipt-stream" / "token"


def kept_token(path: Path | None = None) -> Token:
    """The token in `path` (`token_file()` unless given), made on first use and readable by its owner alone.

    One that others could have read is replaced. Where nothing can be kept there, a token for this run alone.
    Delete the file and begin anew to lock out every page that is open.
    """
    try:
        path = path or token_file()
        if path.exists() and not (os.name == "posix" and path.stat().st_mode & 0o077):
            kept = path.read_bytes().strip()
            if len(kept) >= 32 and kept.isascii():
                return Token(kept.decode("ascii"))
        return Token(_make(path))
    except OSError as error:
        why = f"{error.filename or path}: {error.strerror}"
    except RuntimeError:
        why = "there is no home directory; set XDG_STATE_HOME"
    return Token(secrets.token_urlsafe(32), why)


def _make(path: Path) -> str:
    token = secrets.token_urlsafe(32)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token)
    return token
