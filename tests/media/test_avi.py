"""AVI, which has no times but a picture's place: repeated, packed and reordered pictures, and one cut short."""

from __future__ import annotations

import os
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.frame import Frame
from lipt_stream.media.file_source import FileSource
from tests.media.read_through import read_all


def write_avi(path: Path, times: list[int]) -> Path:
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mjpeg", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for time in times:
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 99, np.uint8), "yuvj420p")
            picture.pts, picture.time_base = time, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


def test_pictures_that_an_avi_repeats_are_not_missed(tmp_path: Path) -> None:
    """Recorders write an empty chunk where nothing moved. The times stay, and nothing is called missing."""
    film = write_avi(tmp_path / "still.avi", [n for n in range(40) if n % 2 or n < 4])
    count, notes = read_all(film)
    assert count == 22
    assert not [note for note in notes if "states" in note or "missing" in note]


def packed(film: Path, target: Path) -> Path:
    """As DivX wrote it: a B-picture in one chunk with the P before it, and then a chunk that says nothing is new."""
    with av.open(str(film)) as source, av.open(str(target), "w") as avi:
        stream = avi.add_stream_from_template(source.streams.video[0], opaque=True)
        pictures = [(bytes(packet), packet.is_keyframe) for packet in source.demux(video=0) if packet.size]
        data, key = pictures[0]
        start = data.find(b"\0\0\1\xb6")
        pictures[0] = (data[:start] + b"\0\0\1\xb2DivX503b1393p" + data[start:], key)
        for place, (data, _) in enumerate(pictures):
            if data[data.find(b"\0\0\1\xb6") + 4] >> 6 == 2:  # a B-picture
                pictures[place - 1 : place + 1] = [
                    (pictures[place - 1][0] + data, pictures[place - 1][1]),
                    (b"\0\0\1\xb6\x51\0", False),
                ]
        for number, (data, is_keyframe) in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = stream, is_keyframe
            packet.pts, packet.dts, packet.duration, packet.time_base = number, number, 1, Fraction(1, 25)
            avi.mux(packet)
    return target


@pytest.mark.parametrize(("codec", "is_packed"), [("mpeg4", False), ("mpeg4", True), ("libx264", False)])
def test_b_pictures_in_an_avi_come_a_tick_apart(tmp_path: Path, codec: str, is_packed: bool) -> None:
    film = tmp_path / "film.avi"
    with av.open(str(film), "w") as target:
        stream = target.add_stream(codec, 25, options={"bf": "1" if is_packed else "3", "b_strategy": "0"})
        stream.width, stream.height = 64, 48
        for number in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 20 + 8 * number, np.uint8), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    if is_packed:
        film = packed(film, tmp_path / "packed.avi")
    with closing(FileSource(film)) as source:
        planes = source.format.new_planes()
        shown: list[tuple[int, int]] = []
        while isinstance(frame := source.read(planes), Frame):
            shown.append((frame.pts, int(planes[0].mean())))
    assert [pts - shown[0][0] for pts, _ in shown] == list(range(20))
    assert [luma for _, luma in shown] == pytest.approx([20 + 8 * number for number in range(20)], abs=6)


def test_an_avi_cut_short_is_said(tmp_path: Path) -> None:
    film = write_avi(tmp_path / "cut.avi", list(range(40)))
    os.truncate(film, film.stat().st_size // 2)
    count, notes = read_all(film)
    assert count < 40
    assert any(note.startswith("the file states 1.60 s of pictures, but they end at") for note in notes)
