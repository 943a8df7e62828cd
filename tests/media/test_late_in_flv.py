"""Sound of a Flash film that begins behind all that FFmpeg probes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.media import copy_plan, late_streams
from lipt_stream.media.late_in_flv import first_sound
from lipt_stream.verify.audit import verify
from tests.film import through

RATE = 44_100


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Grainy pictures, 6 MB of them before the first sound, which lasts half a second."""
    path = tmp_path / "film.flv"
    rng, ramp = np.random.default_rng(0), np.linspace(40, 200, 704)[None, :, None]
    with av.open(str(path), "w") as container:
        video = container.add_stream("flashsv", 8)  # without loss: grain takes its room
        video.width, video.height, video.pix_fmt = 704, 576, "bgr24"
        sound = container.add_stream("libmp3lame", RATE)  # of AAC its header would come first
        for number in range(12):
            grainy = ramp + rng.integers(0, 32, (576, 704, 3))
            picture = av.VideoFrame.from_ndarray(grainy.astype(np.uint8), format="bgr24")
            picture.pts = number
            container.mux(video.encode(picture))
            if number == 8:
                wave = np.sin(np.arange(RATE // 2) * 0.05, dtype=np.float32)[None]
                heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = RATE, RATE, Fraction(1, RATE)
                container.mux(sound.encode(heard))
                container.mux(sound.encode(None))
        container.mux(video.encode(None))
    with av.open(str(path)) as container:
        assert [stream.type for stream in container.streams] == ["video"], "FFmpeg alone does not find it"
    return path


def test_sound_that_begins_late_is_carried_over(film: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.mkv"
    assert not [note for note in through(film, result) if "left out" in note]
    with av.open(str(result)) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.pts is not None]
    assert 0.9 < times[0] < 1.05
    assert times[-1] > 1.4
    assert [check.name for check in verify(film, result, scale=1).checks if not check.ok] == ["pixel format"]


def test_sound_that_begins_too_late_is_told(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (late_streams, copy_plan):
        monkeypatch.setattr(module, "MOST_PROBED", 2**20)
    notes = through(film, tmp_path / "result.mkv")
    assert any("a track of sound, which begins more than 1 MB into the film, is left out" in note for note in notes)


def test_a_film_without_sound_has_none(film: Path) -> None:
    place = first_sound(film)
    assert place is not None
    silent = film.with_name("silent.flv")
    silent.write_bytes(film.read_bytes()[:place])
    assert first_sound(silent) is None


@pytest.mark.parametrize(
    "content", [b"", b"FLV", b"FLV\x01\x05\x00\x00\x00\x09", b"FLV\x01\x05\xff\xff\xff\xff" + bytes(99)]
)
def test_what_is_cut_off_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.flv"
    path.write_bytes(content)
    assert first_sound(path) is None
