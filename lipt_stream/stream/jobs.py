"""Which files become which: folders and patterns in, names out, every collision found before any work."""

from __future__ import annotations

import errno
import glob
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from lipt_stream.errors import InputError, OutputError, SettingsError
from lipt_stream.media.av_errors import reading, writing
from lipt_stream.media.containers import refuse_address, writable_suffix
from lipt_stream.media.encoders import ENCODERS
from lipt_stream.model.config import Scale

Existing: TypeAlias = Literal["refuse", "overwrite", "skip"]
"""What is done about a result that is there already. A whole film alone ever bears its name, so one that is there need
not be made again."""

SCALES: Final[tuple[Scale, ...]] = get_args(Scale)
DEFAULT_PATTERN: Final = "{stem}_{scale}x{ext}"
_SLASHES: Final = ("/", "\\")

# What a folder is searched for. A file named directly is tried whatever its name.
VIDEO_EXTENSIONS: Final = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".amv", ".asf", ".avi", ".divx", ".dv", ".dvr-ms", ".evo", ".f4v", ".flv", ".gif"}
    | {".h264", ".hevc", ".ivf", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mod"}
    | {".mov", ".mp2v", ".mp4", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm"}
    | {".rmvb", ".tod", ".tp", ".trp", ".ts", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".y4m"}
)


# What a folder or a pattern finds and nobody means: by (what is said of it, name).
_LEFTOVERS: Final = (
    ("partial, of a run that was stopped", re.compile(r".*\.partial(-\d+)?\.[^.]+")),  # media/part_file.py
    ("macOS's notes on other files", re.compile(r"\._.*")),
    ("hidden", re.compile(r"\..*")),
)
RESULT_OF_ANOTHER: Final = "results of others"
IS_THERE: Final = "upscaled already"


@dataclass(frozen=True, slots=True)
class Job:
    """One file to upscale, and where its result goes."""

    input: Path
    output: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what of what was found is not, with the reason."""

    jobs: list[Job]
    left_out: Mapping[Path, str]
    is_of_one_film: bool = True
    """Whether a single file was named, and no folder or pattern."""


def plan_jobs(
    inputs: Sequence[str], output: str | None, scale: int, *, existing: Existing = "refuse", encoder: str = "auto"
) -> Plan:
    """Expand `inputs` (files, folders, glob patterns) and name their results.

    Of folders and patterns hidden and partial films are left out, and those that are the result of another one, at
    whatever scale; of files that are named the latter, where results that exist are skipped.

    A result whose ending is not told has that of its film, but .mkv where `encoder` does not go into such a file.

    `output` is a file, a folder (one that exists, or a name with a slash at its end), or a pattern with {stem},
    {scale} and {ext}; None puts `{stem}_{scale}x{ext}` beside each input. Raises InputError where an input matches
    nothing, OutputError where two results would share a name, a result would replace an input, or a result exists
    and is neither to be replaced nor skipped.
    """
    files: dict[Path, bool] = {}  # and whether it was named
    left_out: dict[Path, str] = {}
    for item in inputs:
        with reading(Path(item)):  # a name too long, a folder that may not be entered
            left_out |= _passed_over(Path(item), output)
            for path in expand(item):
                is_named = os.path.normpath(path) == os.path.normpath(item)
                reason = "" if is_named else _is_leftover(path)
                if reason:
                    left_out[path] = reason
                else:
                    files[path] = files.get(path, False) or is_named
    if not files:
        found = f"{', '.join(inputs)} holds nothing but hidden files and what other runs left"
        raise InputError(found, "Name a file to upscale it")
    with writing(Path(output) if output else next(iter(files)).parent):
        jobs = [Job(path, result_path(path, output, scale, encoder, several=len(files) > 1)) for path in files]
        results = {name: os.path.realpath(path) for path in files for name in _names_of_results(path, output)}
        for job in jobs:
            of_another = results.get(name := os.path.realpath(job.input), name) != name
            if of_another and (existing == "skip" or not files[job.input]):
                left_out[job.input] = RESULT_OF_ANOTHER
            elif existing == "skip" and _holds_something(job.output):
                left_out[job.input] = IS_THERE
        jobs = [job for job in jobs if job.input not in left_out]
        _refuse_collisions(jobs, existing)
    return Plan(jobs, left_out, is_of_one_film=len(inputs) == 1 and list(files.values()) == [True])


def _names_of_results(path: Path, output: str | None) -> set[str]:
    """Where runs put the results of a film, at any scale, in its own container or in Matroska. None where they have no
    name of their own."""
    if output is not None and "{" not in output and not _is_folder(output):
        return set()
    results = (result_path(path, output, scale, way, several=True) for scale in SCALES for way in ("auto", "ffv1"))
    return set(map(os.path.realpath, results))


def _passed_over(folder: Path, output: str | None) -> dict[Path, str]:
    """What a folder holds that may be meant, and is not upscaled. The hidden, and what is written to, is not meant."""
    if not folder.is_dir():
        return {}
    found: dict[Path, str] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists() and path.suffix.lower() in VIDEO_EXTENSIONS:
            found[path] = "links that lead nowhere"
        elif path.is_dir() and path.name[0] not in ".@" and not (output and _is_same(path, output)):
            found[path] = "folders in a folder are not searched"
    return found


def _is_same(path: Path, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _holds_something(result: Path) -> bool:
    """A folder of that name, or an empty file, is no film that was upscaled."""
    return _exists(result) and result.is_file() and result.stat().st_size > 0


def _exists(result: Path) -> bool:
    """A name that is too long is none's: it is that film's own trouble, and is said when its turn comes."""
    try:
        return result.exists()
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return False


def _is_leftover(path: Path) -> str:
    """What it is, as it is said; "" for a film."""
    return next((words for words, name in _LEFTOVERS if name.fullmatch(path.name)), "")


def expand(item: str) -> list[Path]:
    """The files that one argument means, in the order of their names."""
    if not item:
        raise InputError("An input has an empty name", "Check what was to give it")
    refuse_address(item)
    path = Path(item)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in VIDEO_EXTENSIONS)
        if not found:
            raise InputError(f"No video files in {path}", f"Known endings: {' '.join(sorted(VIDEO_EXTENSIONS))}")
        return found
    if not path.exists() and glob.has_magic(item):
        found = sorted(Path(match) for match in glob.glob(item, recursive=True) if Path(match).is_file())  # noqa: PTH207
        if not found:
            raise InputError(f"Nothing matches {item}", "Check the pattern and the folder that you are in")
        return found
    return [path]


def result_path(path: Path, output: str | None, scale: int, encoder: str, *, several: bool) -> Path:
    """Where the result of `path` goes."""
    extension = result_suffix(path, encoder)
    if output is None:
        return path.parent / _fill(DEFAULT_PATTERN, path, scale, extension)
    if "{" in output and not Path(output).is_dir():
        return Path(_fill(output, path, scale, extension))
    if _is_folder(output):
        return Path(output) / _fill(DEFAULT_PATTERN, path, scale, extension)
    if several:
        raise OutputError(
            f"Several files cannot all become {output}", f"Name a folder, or a pattern such as {DEFAULT_PATTERN}"
        )
    return Path(output)


def result_suffix(path: Path, encoder: str) -> str:
    """The ending of the result of `path` where none is told."""
    suffix = writable_suffix(path)
    return ".mkv" if encoder in ENCODERS and suffix not in ENCODERS[encoder].suffixes else suffix


def make_folder(output: str | None) -> None:
    """Make the folder that OUT names with a slash at its end. Raises OutputError."""
    if output is None or not output.endswith(_SLASHES):
        return
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder {output} cannot be made ({error.strerror})", "Name another") from error


def _is_folder(output: str) -> bool:
    return Path(output).is_dir() or output.endswith(_SLASHES)


def _fill(pattern: str, path: Path, scale: int, extension: str) -> str:
    try:
        return pattern.format(stem=path.stem, scale=scale, ext=extension)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"The output pattern {pattern} is wrong", "It may hold {stem}, {scale} and {ext}"
        ) from error


def _refuse_collisions(jobs: Sequence[Job], existing: Existing) -> None:
    # Path.resolve would raise at links that lead in a circle; whoever opens them says so.
    inputs = {os.path.realpath(job.input) for job in jobs}
    shared = [path for path, count in Counter(os.path.realpath(job.output) for job in jobs).items() if count > 1]
    if shared:
        names = ", ".join(str(job.input) for job in jobs if os.path.realpath(job.output) == shared[0])
        name = Path(shared[0]).name
        raise OutputError(
            f"{names} would all become {name}", "Upscale them in runs of their own, to different folders or patterns"
        )
    for job in jobs:
        if os.path.realpath(job.output) in inputs:
            raise OutputError(f"{job.output} is an input: it would be overwritten", "Name another output")
        if existing == "refuse" and _exists(job.output):
            way = ", or --skip-existing to go on with the others" if len(jobs) > 1 else ""
            raise OutputError(f"{job.output} exists already", f"Use --overwrite to replace it{way}")
