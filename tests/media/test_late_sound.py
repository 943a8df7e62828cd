"""Sound that begins long after the picture, or of which a cut leaves nothing: a commentary, an empty track."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import pytest

from lipt_stream.frame import Frame
from lipt_stream.media.containers import plays
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.part_file import part_path
from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through, times

RATE = 48_000


def film(path: Path, begins: dict[str, float | None], seconds: int = 5) -> Path:
    """Pictures, and for each codec a track of sound that begins then, or never."""
    with av.open(str(path), "w") as target:
        picture = target.add_stream("libx264", 25, options={"preset": "ultrafast", "g": "25"})
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        packets = []
        for number in range(25 * seconds):
            packets += picture.encode(flat_picture(number))
        packets += picture.encode(None)
        for codec, begin in begins.items():
            sound = target.add_stream(codec, RATE, layout="stereo")
            sound.codec_context.open()
            packets += [] if begin is None else encoded_silence(sound, begin, seconds)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            target.mux_one(packet)
    return path


def encoded_silence(sound: av.AudioStream, begin: float, end: float) -> list[av.Packet]:
    size = sound.codec_context.frame_size
    packets = []
    for pts in range(round(begin * RATE), round(end * RATE), size):
        frame = av.AudioFrame("fltp", "stereo", size)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.sample_rate, frame.time_base = pts, RATE, Fraction(1, RATE)
        packets += sound.encode(frame)
    return packets + sound.encode(None)


def told_of(notes: list[str]) -> list[str]:
    return [note for note in notes if "left out" in note]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
@pytest.mark.parametrize("codec", ["ac3", "eac3", "aac"])
@pytest.mark.parametrize("begin", [None, 3.0], ids=["empty", "behind the cut"])
def test_a_track_of_which_nothing_comes_is_left_out_and_told(
    tmp_path: Path, suffix: str, codec: str, begin: float | None
) -> None:
    source, target = film(tmp_path / "film.mkv", {"ac3": 0.0} | {codec: begin}), tmp_path / f"out{suffix}"
    notes = through(source, target, end_seconds=2.0)
    assert told_of(notes) == [
        f"the audio of codec {codec} is left out: nothing of it came, and {suffix} holds no empty track"
    ]
    with av.open(str(target)) as result:
        assert [stream.codec_context.name for stream in result.streams.audio] == ["ac3"] * (codec != "ac3")
    assert len(times(target, "video")) == 50


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_an_empty_track_is_no_loss_to_verify(tmp_path: Path, suffix: str) -> None:
    source, target = film(tmp_path / "film.mkv", {"ac3": 0.0, "aac": None}), tmp_path / f"out{suffix}"
    through(source, target)
    checks = {check.name: check for check in verify(source, target, scale=1).checks}
    assert checks["audio streams"].ok
    assert checks["audio 1 packets"].ok


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("codec", ["ac3", "eac3", "aac"])
@pytest.mark.parametrize("cut", [{}, {"start_seconds": 0.5}, {"start_seconds": 2.0, "end_seconds": 4.0}], ids=str)
def test_sound_that_begins_late_stays_in_time(tmp_path: Path, suffix: str, codec: str, cut: dict[str, float]) -> None:
    source, target = film(tmp_path / "film.mkv", {codec: 3.0}), tmp_path / f"out{suffix}"
    assert not told_of(through(source, target, **cut))
    start, end = cut.get("start_seconds", 0.0), cut.get("end_seconds", 5.0)
    expected = [time - start for time in times(source, "audio") if start <= time < end]
    assert times(target, "audio") == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(("begin", "plays_meanwhile"), [(None, False), (3.0, False), (1.0, True)])
def test_a_film_is_not_held_in_memory_until_its_sound_comes(
    tmp_path: Path, begin: float | None, plays_meanwhile: bool
) -> None:
    source, target = film(tmp_path / "film.mkv", {"aac": begin}), tmp_path / "out.mp4"
    with closing(FileSource(source)) as pictures:
        encoder = choose_encoder("libx264", options={"preset": "ultrafast", "tune": "zerolatency", "g": "12"})
        sink = FileSink(target, pictures.format, encoder=encoder, copy_from=source)
        planes = pictures.format.new_planes()
        for _ in range(70):
            frame = pictures.read(planes)
            assert isinstance(frame, Frame)
            frame.planes[0][:] = frame.index
            sink.write(frame)
        part = part_path(target)
        assert part.stat().st_size > 2_000
        assert plays(part) == plays_meanwhile
        sink.close()
