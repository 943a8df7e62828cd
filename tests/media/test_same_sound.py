"""The sound of the film is in its copy too, or it is refused by name."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.errors import OutputError
from tests.film import flat_picture
from tests.media.same_film import through

SOUNDS = {
    "aac": "mp4 mov mkv",
    "mp3": "mp4 mov mkv",
    "mp2": "mp4 mov mkv",
    "ac3": "mp4 mov mkv",
    "eac3": "mp4 mov mkv",
    "alac": "mp4 mov mkv",
    "flac": "mp4 mkv",
    "opus": "mp4 webm mkv",
    "vorbis": "mp4 webm mkv",
    "pcm_s16le": "mov mkv",
}
ENCODER_OF = {"mp3": "libmp3lame", "opus": "libopus"}


def write_sound(path: Path, codec: str) -> None:
    """A film of two pictures with half a second of `codec`, from .mkv, which holds every one of them."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 25)
        video.width, video.height = 64, 48
        sound = container.add_stream(ENCODER_OF.get(codec, codec), 48_000, layout="stereo", options={"strict": "-2"})
        resampler = av.AudioResampler(sound.format.name, "stereo", 48_000, sound.codec_context.frame_size or 1024)
        tone = (8000 * np.sin(np.arange(48_000) / 20)).astype(np.int16)[np.newaxis]
        wave = av.AudioFrame.from_ndarray(tone, "s16", "stereo")
        wave.sample_rate, wave.pts = 48_000, 0
        for n in range(2):
            container.mux(video.encode(flat_picture(n)))
        for piece in (*resampler.resample(wave), *resampler.resample(None)):
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("codec", SOUNDS)
def test_sound_is_copied_or_refused_by_name(shared: Path, tmp_path: Path, codec: str) -> None:
    source = tmp_path / "source.mkv"
    if codec == "vorbis":  # this FFmpeg cannot make one
        source = shared / "data/video/torture/alpha_vp9_transparent.webm"
    else:
        write_sound(source, codec)
    for container in ("mp4", "mov", "webm", "mkv"):
        target = tmp_path / f"out.{container}"
        encoder = "libsvtav1" if container == "webm" else "libx264"
        if container in SOUNDS[codec].split():
            through(source, target, encoder)
            wanted, got = sound_packets(source), sound_packets(target)
            assert got == wanted[: len(got)]
            assert len(got) >= len(wanted) - (codec == "alac"), "its last packet may end after the sound does"
            continue
        with pytest.raises(OutputError) as refusal:
            through(source, target, encoder)
        fitting = [f".{name}" for name in SOUNDS[codec].split() if name != "webm"]
        if container == "webm":  # AV1, which MOV does not hold
            fitting = [suffix for suffix in fitting if suffix != ".mov"]
        assert f"{container} cannot hold audio of codec {codec}" in str(refusal.value)
        assert f". Write to {' or '.join(sorted(fitting))}, or " in str(refusal.value)
        assert not target.exists()
