"""What travels: images in shards, runs in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.errors import InputError
from lipt_stream.train import parcels
from lipt_stream.train.parcels import evenly, join, split, unpacked, write_shards


def files(folder: Path, *lengths: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.bin" for number in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        path.write_bytes(bytes([length % 251]) * length)
    return paths


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=40), limit=st.integers(1, 2000))
def test_as_many_as_fit_are_taken_evenly(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], limit: int
) -> None:
    paths = files(tmp_path_factory.mktemp("files"), *lengths)
    if min(lengths) > limit:
        with pytest.raises(InputError, match="Not even one image fits"):
            evenly(paths, limit)
        return
    taken = evenly(paths, limit)
    assert sum(path.stat().st_size for path in taken) <= limit
    assert len(set(taken)) == len(taken) > 0
    if sum(lengths) <= limit:
        assert set(taken) == set(paths)


def test_shards_bring_every_file_and_replace_earlier_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "SHARD_BYTES", 100)
    out = tmp_path / "out"
    out.mkdir()
    train, same_names = files(tmp_path / "a", 60, 60, 200, 10), files(tmp_path / "b", 5, 6)
    for _ in range(2):
        taken = write_shards(out, {"train": [*train, *same_names], "valid": same_names, "pairs": []})
    assert taken == sum(path.stat().st_size for path in out.iterdir())
    assert sorted(path.name for path in out.iterdir()) == [
        "train-00.tar", "train-01.tar", "train-02.tar", "train-03.tar", "valid-00.tar",
    ]  # fmt: skip
    with unpacked(out) as data:
        sizes = sorted(path.stat().st_size for path in (data / "train").rglob("*.bin"))
        assert sizes == [5, 6, 10, 60, 60, 200]
        assert len(list((data / "valid").rglob("*.bin"))) == 2


def test_a_run_survives_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "PIECE_BYTES", 4000)
    place, back = tmp_path / "work" / "run", tmp_path / "back"
    contents = {path.name: path.read_bytes() for path in files(place, 3000, 9000, 0)}
    (place / "half.part").touch()
    split(place, back, leaving_out="")
    pieces = len(list(back.iterdir()))
    assert pieces > 3
    split(place, back, leaving_out="001.bin")
    assert 0 < len(list(back.iterdir())) < pieces  # none of the earlier ones is left among them
    split(place, back, leaving_out="")
    join(back, tmp_path / "other" / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "other" / "run").iterdir()} == contents
