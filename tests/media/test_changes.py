"""A film whose format changes on its way: all of it comes out, in the format of its beginning, and that is said."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.changes import changes_within
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.pixels import color_of

PART = 12  # pictures


def write_parts(folder: Path, *parts: dict[str, Any]) -> Path:
    """A transport stream whose H.264 changes from part to part: size, pix_fmt, and attributes of the encoder."""
    with av.open(str(folder / "film.ts"), "w") as target:
        stream = None
        for number, part in enumerate(parts):
            with av.open(str(folder / "part.ts"), "w") as one:
                encoder = one.add_stream("libx264", 25, options={"bf": "2"})
                encoder.width, encoder.height = part.get("size", (64, 48))
                encoder.pix_fmt = part.get("pix_fmt", "yuv420p")
                for name in part.keys() - {"size", "pix_fmt"}:
                    setattr(encoder.codec_context, name, part[name])
                for n in range(PART):
                    gray = np.full((encoder.height, encoder.width, 3), 90 + 5 * n, np.uint8)
                    picture = av.VideoFrame.from_ndarray(gray).reformat(format=encoder.pix_fmt)
                    picture.pts, picture.time_base = n, Fraction(1, 25)
                    one.mux(encoder.encode(picture))
                one.mux(encoder.encode(None))
            with av.open(str(folder / "part.ts")) as one:
                stream = stream or target.add_stream_from_template(one.streams.video[0])
                for packet in one.demux(video=0):
                    if packet.size:
                        packet.pts += 3600 * PART * number
                        packet.dts += 3600 * PART * number
                        packet.stream = stream
                        target.mux(packet)
    return folder / "film.ts"


STUDIO, FULL = {"color_range": 1, "colorspace": 1}, {"color_range": 2, "colorspace": 1}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([{}, {}], None),
        ([{}, {"size": (128, 64)}, {"size": (32, 80)}], "all is scaled to 64x48"),
        ([{}, {"pix_fmt": "yuv420p10le"}], "all is converted to yuv420p"),
        ([{"pix_fmt": "yuv420p10le"}, {"pix_fmt": "yuv422p"}], "all is converted to yuv420p10le"),
        ([STUDIO, FULL], "all is converted to BT.709, studio range"),
        ([FULL, STUDIO], "all is converted to BT.709, full range"),
        ([STUDIO, STUDIO | {"colorspace": 9}], "all is converted to BT.709, studio range"),
        ([STUDIO, {}], None),
        ([{"color_trc": 1}, {"color_trc": 16}], "the primaries or the transfer change"),
        ([{"color_trc": 1}, {}], None),
        ([{"sample_aspect_ratio": Fraction(1)}, {"sample_aspect_ratio": Fraction(4, 3)}], "the shape of the pixels"),
    ],
    ids=str,
)
def test_what_changes_is_brought_back_and_said_once(
    tmp_path: Path, parts: list[dict[str, Any]], words: str | None
) -> None:
    with closing(FileSource(write_parts(tmp_path, *parts))) as source:
        planes = source.format.new_planes()
        frames = list(iter(lambda: source.read(planes), END))
        assert len(frames) == PART * len(parts)
        said = [note for note in source.notes if "within the film" in note]
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


@pytest.mark.parametrize(("first", "second"), [(STUDIO, FULL), (FULL, STUDIO)], ids=["to full", "to studio"])
def test_a_change_of_range_changes_no_brightness(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    """FFmpeg's H.264 decoder goes on with the pixel format of the first range, and tags the pictures right."""
    with closing(FileSource(write_parts(tmp_path, first, second))) as source:
        planes = source.format.new_planes()
        means = [float(planes[0].mean()) for _ in iter(lambda: source.read(planes), END)]
    full = first is FULL
    for number, mean in enumerate(means):
        written = (
            16 + (90 + 5 * (number % PART)) * 219 / 255
        )  # the pictures' own codes: studio's, whatever they are called
        code = written
        if number >= PART:
            code = (written - 16) * 255 / 219 if full else 16 + written * 219 / 255
        assert mean == pytest.approx(code, abs=1.5)


@pytest.mark.parametrize(("size", "matrix", "found"), [((1280, 720), 2, 1), ((96, 64), 2, 6), ((1280, 720), 6, 6)])
def test_an_unstated_matrix_changes_with_the_size_as_players_take_it(
    size: tuple[int, int], matrix: int, found: int
) -> None:
    """Recordings of channels that go from SD to HD, neither of which states it."""
    picture = av.VideoFrame(*size, "yuv420p")
    picture.colorspace = matrix
    small = VideoFormat(width=64, height=48, color_space=6)
    assert color_of(picture, small)[0] == found
    notes = [note for note in changes_within(picture, small) if "matrix" in note]
    assert bool(notes) == (found != 6)


def test_a_stated_matrix_stays_where_what_follows_states_none() -> None:
    picture, stated = av.VideoFrame(1280, 720, "yuv420p"), VideoFormat(width=64, height=48, color_space=9)
    assert color_of(picture, stated)[0] == 9


def test_colour_in_a_film_that_begins_gray_is_said() -> None:
    gray = VideoFormat(width=64, height=48, gray=True, color_space=6)
    notes = list(changes_within(av.VideoFrame(64, 48, "yuv420p"), gray))
    assert notes == ["the film begins in gray, and so it stays; colours that come later are lost"]
