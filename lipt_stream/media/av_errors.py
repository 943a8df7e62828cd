"""Where errors of PyAV and of the operating system become InputError and OutputError.

Live connections have words of their own for the same errors (live_errors.py).
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from av.error import (
    EncoderNotFoundError,
    FFmpegError,
    InvalidDataError,
    MuxerNotFoundError,
    PatchWelcomeError,
    ProtocolNotFoundError,
)

from lipt_stream.errors import InputError, OutputError

# av.FFmpegError and OSError are not all of it: damaged text raises UnicodeDecodeError, a damaged size field
# MemoryError, and PyAV's own refusals are ValueError.
AV_ERRORS: Final = (FFmpegError, OSError, ValueError, MemoryError)

_INPUT_HINTS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOENT: ("There is no such file", "Check the path"),
    errno.EACCES: ("It may not be read", "Check its permissions"),
    errno.EPERM: ("It may not be read", "Check its permissions"),
    errno.EISDIR: ("It is a directory", "Name a file in it"),
    errno.ENAMETOOLONG: ("The name is too long", "Check the path"),
    errno.ELOOP: ("Its links lead in a circle", "Check where they lead"),
    errno.ENOTDIR: ("A part of the path is not a folder", "Check the path"),
    # FFmpeg says "input/output error" also of a file whose parts do not lie where it says.
    errno.EIO: ("It is damaged or cut short, or its device fails", "Copy it again, or check the disk"),
}
_OUTPUT_HINTS: Final[dict[int, tuple[str, str]]] = {
    errno.ENOSPC: ("No space is left on the device", "Free some space or write elsewhere"),
    errno.EDQUOT: ("The disk quota is used up", "Free some space or write elsewhere"),
    errno.EFBIG: ("The file grew larger than is allowed here", "Write to another file system"),
    errno.EACCES: ("The folder may not be written to", "Check its permissions or write elsewhere"),
    errno.EPERM: ("The folder may not be written to", "Check its permissions or write elsewhere"),
    errno.EROFS: ("The file system is read-only", "Write elsewhere"),
    errno.ENOENT: ("The folder does not exist", "Create it first"),
    errno.ENOTDIR: ("A part of the path is not a folder", "Check the path"),
    errno.EISDIR: ("It is a directory", "Name a file"),
    errno.EEXIST: ("A file has that name", "Choose another"),
    errno.ENAMETOOLONG: ("The name is too long", "Choose a shorter one"),
}
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_NEVER_WORKS: Final = (MuxerNotFoundError, ProtocolNotFoundError, EncoderNotFoundError, PatchWelcomeError)


def reason(error: BaseException) -> str:
    """FFmpeg's or the system's own words for `error`, without number, file name or option dump."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(words).splitlines()[0]


def input_error(error: BaseException, path: Path) -> InputError:
    """What the user is told when `path` cannot be opened or read."""
    known = _INPUT_HINTS.get(getattr(error, "errno", None) or 0)
    if known:
        return InputError(f"Cannot read {path}: {known[0].lower()}", known[1] + ".")
    if isinstance(error, InvalidDataError):
        return InputError(f"Cannot read {path}: not a video, or damaged beyond reading", "Try to play it first.")
    if isinstance(error, EOFError):
        return InputError(f"Cannot read {path}: it ends before its first picture", "Copy or download it again.")
    if isinstance(error, PatchWelcomeError):
        return InputError(
            f"Cannot read {path}: of a kind that FFmpeg does not know yet", "Convert it to another format."
        )
    return InputError(f"Cannot read {path}: {reason(error)}", "Try to play it first.")


def output_error(error: BaseException, path: Path) -> OutputError:
    """What the user is told when `path` cannot be written."""
    known = _OUTPUT_HINTS.get(getattr(error, "errno", None) or 0)
    if known:
        return OutputError(f"Cannot write {path}: {known[0].lower()}", known[1] + ".")
    return OutputError(f"Cannot write {path}: {reason(error)}", "Check the disk, or write elsewhere.")


@contextmanager
def reading(path: Path) -> Generator[None]:
    """Turns any foreign error inside into the InputError that names `path`."""
    try:
        yield
    except AV_ERRORS as error:
        raise input_error(error, path) from error


@contextmanager
def writing(path: Path) -> Generator[None]:
    """Turns any foreign error inside into the OutputError that names `path`."""
    try:
        yield
    except AV_ERRORS as error:
        raise output_error(error, path) from error


def delivery_error(error: BaseException, *, is_local: bool, is_rtmp: bool) -> tuple[str, bool]:
    """Why a live stream cannot be delivered, in words that name no address; and whether it can never be.

    A network may be better in a moment, whatever it said; a folder that does not exist, and a codec that a container
    does not hold, will not. A full disk may be emptied.
    """
    number = getattr(error, "errno", None) or 0
    if is_local and number in _OUTPUT_HINTS:
        what, hint = _OUTPUT_HINTS[number]
        return f"{what}. {hint}", number not in _FULL
    if is_rtmp and number == errno.EPERM:  # FFmpeg's -1 for whatever the server answers to publishing
        return "The server refuses the stream; perhaps another one is published under this name", False
    if isinstance(error, _NEVER_WORKS) or type(error) is ValueError:
        return reason(error), True
    return reason(error), False
