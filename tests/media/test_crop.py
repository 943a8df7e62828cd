"""A container's crop, which players apply and decoders do not."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import av

from lipt_stream.media.file_source import FileSource
from tests.film import flat_picture

DISPLAY_UNIT = b"\x54\xb2\x81\x04"  # Matroska's "unknown", which FFmpeg writes and nobody needs
CROP_TOP, CROP_RIGHT = b"\x54\xbb\x81\x08", b"\x54\xdd\x81\x06"


def film(path: Path) -> bytes:
    with av.open(str(path), "w", options={"write_crc32": "0"}) as target:
        picture = target.add_stream("libx264", 25)
        picture.width, picture.height = 96, 64
        for number in range(3):
            target.mux(picture.encode(flat_picture(number, size=(96, 64))))
        target.mux(picture.encode(None))
    return path.read_bytes()


def notes_of(path: Path) -> list[str]:
    with closing(FileSource(path)) as source:
        assert (source.format.width, source.format.height) == (96, 64)
        return [note for note in source.notes if "cut off" in note]


def test_a_crop_is_told(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    content = film(path)
    assert content.count(DISPLAY_UNIT) == 1
    assert notes_of(path) == []
    for crop, said in ((CROP_TOP, "8 at the top"), (CROP_RIGHT, "6 at the right")):
        path.write_bytes(content.replace(DISPLAY_UNIT, crop))
        assert notes_of(path) == [f"the file asks players to cut off pixels ({said}): they stay in the result"]
