"""What travels: images in shards, runs in pieces."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from driven_run import files_up_to
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.errors import InputError, OutputError
from lipt_stream.train import parcels
from lipt_stream.train.parcels import evenly, join, reached, recover, split, unpacked, write_shards


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
        "train-00-of-04.tgz", "train-01-of-04.tgz", "train-02-of-04.tgz", "train-03-of-04.tgz", "valid-00-of-01.tgz",
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
    join(back, "run", tmp_path / "other" / "run")
    assert {path.name: path.read_bytes() for path in (tmp_path / "other" / "run").iterdir()} == contents


def test_damage_on_the_way_is_noticed_wherever_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tar that is cut off, or has a wrong bit in a name, ends there without a word, and its files have no sum."""
    monkeypatch.setattr(parcels, "PIECE_BYTES", 10_000)
    out, back = tmp_path / "out", tmp_path / "back"
    out.mkdir()
    write_shards(out, {"train": files(tmp_path / "run", *range(1000, 1020))})
    split(tmp_path / "run", back, leaving_out="")
    shard, piece = out / "train-00-of-01.tgz", back / f"run.tgz.1-of-{len(list(back.iterdir()))}"

    def unpack() -> None:
        with unpacked(out):
            pass

    for path, arrives in ((shard, unpack), (piece, lambda: join(back, "run", tmp_path / "other" / "run"))):
        whole = path.read_bytes()
        half = len(whole) // 2
        in_content, in_header = (bytearray(whole) for _ in range(2))
        in_content[half] ^= 4
        in_header[whole.index(b"ustar") - 200] ^= 4
        for damaged in (whole[:half], whole[:-4], in_content, in_header):
            path.write_bytes(damaged)
            with pytest.raises(InputError, match=r"\.tgz is damaged: .*\. Carry it again"):
                arrives()
        path.write_bytes(whole)
    assert not (tmp_path / "other" / "run").exists()
    assert join(back, "run", tmp_path / "other" / "run")


def test_a_shard_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcels, "SHARD_BYTES", 100)
    out = tmp_path / "out"
    out.mkdir()
    write_shards(out, {"train": files(tmp_path / "a", 60, 60, 60), "valid": files(tmp_path / "b", 5)})
    (out / "train-01-of-03.tgz").unlink()
    with pytest.raises(InputError, match=r"lacks train-01-of-03\.tgz\. Carry all shards"), unpacked(out):
        pass
    (out / "train-00-of-01.tgz").touch()
    with pytest.raises(InputError, match="holds shards train of several calls"), unpacked(out):
        pass


def test_every_file_travels_whatever_the_others_are_called(tmp_path: Path) -> None:
    """The number that tells two of one name apart may make a name that a third one has."""
    places = [tmp_path / "a" / "x-2.png", tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"]
    for number, place in enumerate(places):
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(bytes([number]))
    out = tmp_path / "out"
    out.mkdir()
    write_shards(out, {"train": places})
    with unpacked(out) as data:
        assert sorted(path.read_bytes() for path in data.rglob("*.png")) == [b"\0", b"\1", b"\2"]


def test_an_image_that_is_a_link_travels_as_what_it_leads_to(tmp_path: Path) -> None:
    """As caches of data sets have them."""
    kept, out = files(tmp_path / "kept", 9)[0], tmp_path / "out"
    out.mkdir()
    link = tmp_path / "link.png"
    link.symlink_to(kept)
    write_shards(out, {"train": [link]})
    with unpacked(out) as data:
        (arrived,) = data.rglob("*.png")
        assert not arrived.is_symlink()
        assert arrived.read_bytes() == kept.read_bytes()


def test_a_run_is_found_whatever_its_name(tmp_path: Path) -> None:
    place = tmp_path / "work" / "rate[5e-4]*"
    files(place, 10)
    split(place, tmp_path / "back", leaving_out="")
    assert join(tmp_path / "back", place.name, tmp_path / "other" / place.name)


def test_a_full_disk_is_said_when_things_are_unpacked(tmp_path: Path) -> None:
    place, back, out = tmp_path / "work" / "run", tmp_path / "back", tmp_path / "out"
    out.mkdir()
    paths = files(place, 30_000)
    write_shards(out, {"train": paths})
    split(place, back, leaving_out="")
    with files_up_to(20_000):
        with pytest.raises(OutputError, match=r"Cannot write .*: File too large"), unpacked(out):
            pass
        with pytest.raises(OutputError, match=r"Cannot write .*: File too large"):
            join(back, "run", tmp_path / "other" / "run")


def run_of(folder: Path, seconds: float) -> Path:
    """A run's folder that has come so far."""
    folder.mkdir(parents=True)
    torch.save({"seconds": seconds}, folder / "checkpoint.pt")
    return folder


@pytest.mark.parametrize(("here", "carried", "further"), [(100, 9000, 9000), (9000, 100, 9000), (100, 100, 100)])
def test_of_two_states_of_a_run_the_later_one_is_gone_on_with(
    tmp_path: Path, here: float, carried: float, further: float
) -> None:
    split(run_of(tmp_path / "there" / "run", carried), tmp_path / "back", leaving_out="")
    run_of(tmp_path / "work" / "run", here)
    said = recover("run", tmp_path / "back", tmp_path / "work", tmp_path / "out")
    assert reached(tmp_path / "work" / "run") == further
    assert ("has come further" in said) == (carried > here)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["run"]


def test_what_is_finished_has_come_furthest(tmp_path: Path) -> None:
    finished = run_of(tmp_path / "work" / "run", 10)
    (finished / "finished").touch()
    split(run_of(tmp_path / "there" / "run", 9000), tmp_path / "back", leaving_out="")
    assert recover("run", tmp_path / "back", tmp_path / "work", tmp_path / "out") == ""
    assert (finished / "finished").exists()


def test_a_damaged_checkpoint_gives_way(tmp_path: Path) -> None:
    (run_of(tmp_path / "work" / "run", 9000) / "checkpoint.pt").write_bytes(b"PK")
    split(run_of(tmp_path / "there" / "run", 10), tmp_path / "back", leaving_out="")
    assert "has come further" in recover("run", tmp_path / "back", tmp_path / "work", tmp_path / "out")
    assert reached(tmp_path / "work" / "run") == 10
