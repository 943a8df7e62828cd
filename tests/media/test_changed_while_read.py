"""Files that are cut, deleted or written to while they are read."""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.errors import InputError
from lipt_stream.frame import VideoFormat
from lipt_stream.media.completeness import Witness
from lipt_stream.media.file_source import FileSource
from tests.media.read_through import count_rest

WriteFilm = Callable[..., object]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_file_cut_while_it_is_read_is_an_error(write_film: WriteFilm, tmp_path: Path, suffix: str) -> None:
    large = VideoFormat(width=640, height=480, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))
    write_film(f"film{suffix}", large, pts=[3600 * n for n in range(60)])
    film = tmp_path / f"film{suffix}"
    source = FileSource(film, threads=1)
    source.read(source.format.new_planes())
    os.truncate(film, 4_000)
    with pytest.raises(InputError, match=r"was cut from \d+ to 4000 bytes while it was being read"):
        count_rest(source)
    source.close()


def test_a_file_deleted_while_it_is_read_is_read_to_its_end(write_film: WriteFilm, tmp_path: Path) -> None:
    write_film("film.mkv")
    source = FileSource(tmp_path / "film.mkv")
    (tmp_path / "film.mkv").unlink()
    assert count_rest(source) == 10
    source.close()


def test_a_growing_file_is_whole_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    os.utime(path, ns=(0, 0))
    witness = Witness(path)
    assert witness.confirm() is None
    with path.open("ab") as file:
        file.write(b"678")
    note = witness.confirm()
    assert note is not None
    assert "was written to while it was being read" in note
    witness.close()
    assert witness.confirm() is None
