"""Of a film that is cut, no more is read than must be, and what lies behind the cut says nothing."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.container import InputContainer

from lipt_stream.media import remux
from tests.film import flat_picture
from tests.media.remuxed import packets, through


class CountingFile(io.FileIO):
    """A file that knows how many bytes were read from it."""

    taken = 0

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def long_film(
    path: Path,
    sounds: list[list[float]],
    lines: list[float],
    end_seconds: int = 300,
    *,
    interleaved: bool = True,
    sound_ahead_seconds: float = 0,
) -> None:
    """A picture a second, beside tracks of sound with packets at these seconds, and a line of words at those. Sound may
    lie in the file before the pictures of its time."""
    options = {"max_interleave_delta": "1"} if sound_ahead_seconds else {}  # µs: the muxer is to leave the order alone
    with av.open(str(path), "w", options=options) as target:
        picture = target.add_stream("rawvideo", 1)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        tracks = [target.add_stream("pcm_s16le", 8000, layout="mono") for _ in sounds]
        if lines:
            words = target.add_mux_stream("subrip")
            words.time_base = Fraction(1, 1000)
        packets = []
        for second in range(end_seconds):
            packets += picture.encode(flat_picture(25 * second))
        packets += picture.encode(None)
        for track, seconds in zip(tracks, sounds, strict=True):
            for number, second in enumerate(seconds):
                packet = av.Packet(number.to_bytes(4, "big") * 1000)
                packet.pts = packet.dts = round(second * 8000)
                packet.duration, packet.time_base, packet.stream = 2000, Fraction(1, 8000), track
                packets.append(packet)
        for second in lines:
            packet = av.Packet(b"words")
            packet.pts = packet.dts = round(second * 1000)
            packet.duration, packet.time_base, packet.stream = 500, Fraction(1, 1000), words
            packets.append(packet)
        if interleaved:
            ahead = {track.index: sound_ahead_seconds for track in tracks}
            packets.sort(key=lambda each: each.dts * each.time_base - ahead.get(each.stream.index, 0))
        for packet in packets:
            target.mux_one(packet)


def sounding(start: float, end: float) -> list[float]:
    return [start + n / 4 for n in range(int((end - start) * 4))]


LONG_FILMS: dict[str, tuple[list[list[float]], list[float], float]] = {  # sounds, lines, share of the file to be read
    "all to the end": ([sounding(0, 300), sounding(0, 300)], [1, 9, 250], 0.15),
    "no sound": ([], [1, 9, 250], 0.15),
    "sound that ends early": ([sounding(0, 5), sounding(0, 300)], [9], 0.4),
    "sound that begins late": ([sounding(0, 300), sounding(200, 300)], [9], 0.75),
    "a line late in the film": ([sounding(0, 300)], [250], 0.15),
}


@pytest.mark.parametrize("name", LONG_FILMS)
def test_behind_the_cut_no_more_is_read_than_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    sounds, lines, share = LONG_FILMS[name]
    film, target = tmp_path / "film.mkv", tmp_path / "out.mkv"
    long_film(film, sounds, lines)
    files: list[CountingFile] = []

    def open_counting(path: Path) -> InputContainer:
        files.append(CountingFile(path))
        return av.open(files[-1])

    monkeypatch.setattr(remux, "open_film", open_counting)
    through(film, target, end_seconds=10.0)
    files[0].close()
    assert files[0].taken < share * film.stat().st_size
    for index in range(len(sounds)):
        wanted = [each for each in packets(film, "audio", index) if each[0] < 10]
        assert packets(target, "audio", index) == wanted
    wanted = [each for each in packets(film, "subtitles") if each[0] < 10]
    assert packets(target, "subtitles") == wanted


def test_sound_that_lies_behind_all_pictures_is_not_lost(tmp_path: Path) -> None:
    """As a writer leaves it that does not interleave."""
    film, target = tmp_path / "film.mkv", tmp_path / "out.mkv"
    long_film(film, [sounding(0, 100)], [], end_seconds=100, interleaved=False)
    with av.open(str(film)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    assert "audio" not in kinds[:85]
    through(film, target, end_seconds=10.0)
    assert packets(target, "audio") == packets(film, "audio")[:40]


def test_damage_behind_the_cut_is_not_told(tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    long_film(film, [sounding(0, 300)], [1])
    content = bytearray(film.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40_000] = bytes(40_000)
    film.write_bytes(content)
    sink = through(film, tmp_path / "out.mkv", end_seconds=10.0)
    assert not [note for note in sink.notes if "damaged" in note]


@pytest.mark.parametrize("start", [2, 20])
def test_sound_that_lies_before_its_picture_is_in_the_cut(tmp_path: Path, start: int) -> None:
    film, target = tmp_path / "film.mkv", tmp_path / "out.mkv"
    long_film(film, [sounding(0, 60)], [], end_seconds=60, sound_ahead_seconds=3)
    with av.open(str(film)) as container:
        order = [
            (packet.stream.type, float(packet.pts * packet.time_base)) for packet in container.demux() if packet.size
        ]
    assert order.index(("audio", start + 2.0)) < order.index(("video", start)), "the muxer left it there"
    through(film, target, start_seconds=start, end_seconds=start + 10)
    wanted = [(time - start, content) for time, content in packets(film, "audio") if start <= time < start + 10]
    assert packets(target, "audio") == wanted
    assert len(wanted) == 40
