"""What travels to a training machine and back: images in shards, runs in pieces of a size that any way can carry."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import math
import pickle
import shutil
import tarfile
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch

from lipt_stream.errors import InputError
from lipt_stream.model.weights import BROKEN
from lipt_stream.train.checkpoint import FILE as CHECKPOINT
from lipt_stream.train.files import writing

MB: Final = 10**6
SHARD_BYTES: Final = 15 * 2**20
PIECE_BYTES: Final = 15 * 2**20
FINISHED: Final = "finished"
"""A file in the folder of a run that is: what it was asked for, and of which images."""
_NOWHERE: Final = -1.0
KINDS: Final = ("train", "valid", "pairs")
AS_IT_IS: Final[Mapping[str, Any]] = MappingProxyType({"mode": "w:gz", "compresslevel": 0})
"""For tarfile: with a checksum of the whole, which a tar alone lacks. The files are compressed as they are."""


def evenly(paths: Sequence[Path], limit: float) -> list[Path]:
    """As many as fit into `limit` bytes, evenly over the order of their sizes. InputError where none does."""
    ordered = sorted((size(path), path) for path in paths)

    def chosen(count: int) -> list[tuple[int, Path]]:
        return [ordered[number * len(ordered) // count] for number in range(count)]

    count = bisect_right(
        range(1, len(ordered) + 1), limit, key=lambda count: sum(bytes_ for bytes_, _ in chosen(count))
    )
    if not count:
        raise InputError(f"Not even one image fits into {limit / MB:.1f} MB", "Give a larger --mb")
    return [path for _, path in chosen(count)]


def write_shards(out: Path, files: Mapping[str, Sequence[Path]]) -> int:
    """Pack files of KINDS into `out`, in the place of earlier shards there; the bytes that they take."""
    with writing(out):
        for kind in KINDS:
            for old in _shards_in(out, kind):
                old.unlink()
        filled = {kind: list(_filled(paths)) for kind, paths in files.items()}
        written = [
            _packed(out / f"{kind}-{number:02}-of-{len(shards):02}.tgz", shard)
            for kind, shards in filled.items()
            for number, shard in enumerate(shards)
        ]
    return sum(map(size, written))


def _filled(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Some at a time, of SHARD_BYTES together or one alone."""
    shard: list[Path] = []
    filled = 0
    for path in paths:
        if shard and filled + size(path) > SHARD_BYTES:
            yield shard
            shard, filled = [], 0
        shard.append(path)
        filled += size(path)
    if shard:
        yield shard


def _packed(target: Path, paths: Sequence[Path]) -> Path:
    """An archive of files, which lie flat in it; those of one name get a number each. Links are what they lead to."""
    with tarfile.open(target, **AS_IT_IS, dereference=True) as tar:
        seen: set[str] = set()
        for path in paths:
            named = (f"{path.stem}-{number}{path.suffix}" for number in itertools.count(1))
            name = next(name for name in itertools.chain([path.name], named) if name not in seen)
            seen.add(name)
            tar.add(path, name)
    return target


@contextmanager
def unpacked(folder: Path) -> Generator[Path]:
    """The images of a folder of shards, in train, valid and perhaps pairs. Only the names of pairs are unique.

    InputError where there are no shards, or one is missing or damaged; OutputError where there is no room.
    """
    shards = [shard for kind in KINDS for shard in _whole_set(folder, kind)]
    if not shards:
        raise InputError(f"{folder} holds no shards", "Make them with `train_on_gpu prepare`")
    with tempfile.TemporaryDirectory() as name:
        for shard in shards:
            kind, number, *_ = shard.stem.split("-")  # train-00-of-03
            _extract(shard, Path(name) / kind / ("" if kind == "pairs" else number))
        yield Path(name)


def _shards_in(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-[0-9][0-9]*-of-[0-9][0-9]*.tgz"))


def _whole_set(folder: Path, kind: str) -> list[Path]:
    """The shards of one kind, each of which tells how many they are."""
    shards = _shards_in(folder, kind)
    counts = {path.stem.rpartition("-")[2] for path in shards}
    if len(counts) > 1:
        raise InputError(f"{folder} holds shards {kind} of several calls", "Keep those of the last one")
    wanted = [folder / f"{kind}-{number:02}-of-{count}.tgz" for count in counts for number in range(int(count))]
    if missing := [path.name for path in wanted if path not in shards]:
        raise InputError(f"{folder} lacks {', '.join(missing)}", "Carry all shards")
    return shards


def split(place: Path, out: Path, *, leaving_out: str) -> None:
    """Pack a run's folder but one file into pieces that travel; they replace those that are there."""
    wanted = [path for path in sorted(place.iterdir()) if path.is_file() and path.suffix != ".part"]
    wanted = [path for path in wanted if path.name != leaving_out]
    parts: list[Path] = []
    with writing(out), tempfile.TemporaryFile() as whole:
        out.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=whole, **AS_IT_IS) as tar:
            for path in wanted:
                tar.add(path, path.name)
        count = math.ceil(whole.tell() / PIECE_BYTES)
        whole.seek(0)
        for number in range(count):
            parts.append(out / f"{place.name}.tgz.{number}-of-{count}.part")
            parts[-1].write_bytes(whole.read(PIECE_BYTES))
        for old in out.glob(f"{escape(place.name)}.tgz.*[0-9]"):
            old.unlink()
        for part in parts:
            part.rename(part.with_suffix(""))


def _pieces(folder: Path, name: str) -> list[Path]:
    return list(folder.glob(f"{escape(name)}.tgz.*-of-*[0-9]"))


def join(carried: Path, name: str, place: Path) -> bool:
    """Unpack the run of that name from its pieces into `place`. False where there are none; InputError where one is
    missing or damaged, OutputError where there is no room.
    """
    counts = {path.name.rpartition("-")[2] for path in _pieces(carried, name)}
    if not counts:
        return False
    if len(counts) > 1:
        raise InputError(f"{carried} holds pieces of {name} of several calls", "Keep those of the last one")
    count = int(counts.pop())
    pieces = [carried / f"{name}.tgz.{number}-of-{count}" for number in range(count)]
    if missing := [piece.name for piece in pieces if not piece.exists()]:
        raise InputError(f"{carried} lacks {', '.join(missing)}", "Carry all pieces of a run, or none")
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with writing(place), tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / f"{name}.tgz"
        with whole.open("wb") as file:
            for piece in pieces:
                file.write(piece.read_bytes())
        _extract(whole, part)
        part.rename(place)
    return True


def recover(name: str, carried: Path | None, work: Path, out: Path) -> str:
    """Bring what `carried` has of a run into `work`, where that has not come further; what is to be said of it.

    InputError where the run would begin anew and `out` holds pieces of an earlier one, which it would write over, and
    as `join`.
    """
    place, newer = work / name, work / f"{name}.carried"
    shutil.rmtree(newer, ignore_errors=True)
    if carried and join(carried, name, newer):
        had = reached(place)
        if reached(newer) <= had:
            shutil.rmtree(newer)
            return ""
        shutil.rmtree(place, ignore_errors=True)
        with writing(place):
            newer.rename(place)
        return f"{name}: {carried} has come further than {place}, and takes its place" if had > _NOWHERE else ""
    if place.exists():
        return ""
    if _pieces(out, name):
        raise InputError(f"{out} holds {name}, and it would begin anew", "Name it by --carried, or another --out")
    return f"{name}: nothing of it is in {carried}, it begins anew" if carried else ""


def reached(place: Path) -> float:
    """How far the run in a folder has come, in seconds of its budget; infinity where it is finished."""
    if (place / FINISHED).exists():
        return math.inf
    if not (place / CHECKPOINT).exists():
        return _NOWHERE
    try:
        return float(torch.load(place / CHECKPOINT, map_location="cpu", weights_only=True)["seconds"])
    except (*BROKEN, pickle.UnpicklingError):
        return _NOWHERE / 2  # worth less than any other; it is told where it is gone on with


def digest_of_files(folder: Path) -> str:
    """Of all in a folder, by their places and contents. Raises OSError."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode("utf-8", "surrogateescape") + path.read_bytes())
    return digest.hexdigest()


def _extract(archive: Path, target: Path) -> None:
    try:
        with gzip.open(archive) as content:  # tarfile stops at what looks like the end, which is not where the sum is
            while content.read(MB):
                pass
        with writing(target), tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{archive.name} is damaged: {error}", "Carry it again") from error
    except OSError as error:
        raise InputError(f"{archive} cannot be read: {error.strerror}", "Check the file") from error


def size(path: Path) -> int:
    """Of a file, in bytes."""
    return path.stat().st_size
