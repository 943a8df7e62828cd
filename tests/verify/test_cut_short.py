"""A film whose track ends within its last picture, as an edit list can say."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through

COUNT = 10


def write(path: Path, count: int) -> None:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", 25)
        stream.width, stream.height = 64, 48
        for number in range(count):
            target.mux(stream.encode(flat_picture(number, 60 + 5 * number)))
        target.mux(stream.encode(None))


def cut(path: Path, length_ms: int) -> None:
    """ISO/IEC 14496-12, 8.6.6: an edit's length stands behind the box's kind, version and count."""
    data = bytearray(path.read_bytes())
    place = data.index(b"elst") + 12
    assert int.from_bytes(data[place : place + 4], "big") == 40 * COUNT
    data[place : place + 4] = length_ms.to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_result_may_show_all_of_the_last_picture(tmp_path: Path, suffix: str) -> None:
    source, result = tmp_path / "source.mp4", tmp_path / f"result{suffix}"
    write(source, COUNT)
    cut(source, 40 * COUNT - 32)
    through(source, result)
    assert [check.detail for check in verify(source, result).failed] == []


@pytest.mark.parametrize(("count", "words"), [(COUNT - 1, "-8.0 ms"), (COUNT + 1, "+72.0 ms")])
def test_and_neither_less_nor_more(tmp_path: Path, count: int, words: str) -> None:
    source, result = tmp_path / "source.mp4", tmp_path / "result.mp4"
    write(source, COUNT)
    cut(source, 40 * COUNT - 32)
    write(result, count)
    found = {check.name: check.detail for check in verify(source, result).failed}
    assert words in found["duration"]
    assert "frames" in found
