"""What travels to a training machine and back: images in shards, runs in pieces of a size that any way can carry."""

from __future__ import annotations

import gzip
import itertools
import math
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

from lipt_stream.errors import InputError
from lipt_stream.train.files import writing

MB: Final = 10**6
SHARD_BYTES: Final = 15 * 2**20
PIECE_BYTES: Final = 15 * 2**20
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


def join(carried: Path, place: Path) -> bool:
    """Unpack a run from its pieces. False where there are none; InputError where one is missing or damaged, OutputError
    where there is no room."""
    counts = {path.name.rpartition("-")[2] for path in carried.glob(f"{escape(place.name)}.tgz.*-of-*[0-9]")}
    if not counts:
        return False
    if len(counts) > 1:
        raise InputError(f"{carried} holds pieces of {place.name} of several calls", "Keep those of the last one")
    count = int(counts.pop())
    pieces = [carried / f"{place.name}.tgz.{number}-of-{count}" for number in range(count)]
    if missing := [piece.name for piece in pieces if not piece.exists()]:
        raise InputError(f"{carried} lacks {', '.join(missing)}", "Carry all pieces of a run, or none")
    part = place.with_name(f"{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with writing(place), tempfile.TemporaryDirectory() as name:
        whole = Path(name) / f"{place.name}.tgz"
        with whole.open("wb") as file:
            for piece in pieces:
                file.write(piece.read_bytes())
        _extract(whole, part)
        part.rename(place)
    return True


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
