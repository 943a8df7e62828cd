"""Eight short, tiny films of eight container and codec pairs, made from the bundled clip, to be tortured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.video.reformatter import VideoReformatter

CLIP = Path(__file__).resolve().parent.parent / "tests" / "data" / "clips" / "flower.mp4"
WIDTH, HEIGHT = 64, 36


@dataclass(frozen=True, slots=True)
class Recipe:
    """One film: its file name, encoders, and options of the picture's. `rate` in Hz is what the sound's codec takes."""

    name: str
    video: str
    audio: str | None
    pix_fmt: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()
    rate: int = 48_000


RECIPES = (
    Recipe("h264-aac.mp4", "libx264", "aac", options=(("g", "8"), ("bf", "2"), ("crf", "8"), ("preset", "veryfast"))),
    Recipe("hevc-opus.mkv", "libx265", "libopus", options=(("crf", "8"), ("x265-params", "log-level=none:keyint=8"))),
    Recipe(
        "vp9-opus.webm",
        "libvpx-vp9",
        "libopus",
        options=(("deadline", "realtime"), ("cpu-used", "8"), ("crf", "8"), ("b", "0")),
    ),
    Recipe("prores-pcm.mov", "prores_ks", "pcm_s16le", "yuv422p10le"),
    Recipe("mjpeg-mp3.avi", "mjpeg", "libmp3lame", "yuvj420p"),
    Recipe("mpeg2-mp2.ts", "mpeg2video", "mp2", options=(("g", "8"), ("bf", "2"))),
    Recipe("av1.mp4", "libsvtav1", None, options=(("preset", "10"), ("crf", "10"), ("g", "8"))),
    Recipe("ffv1-flac.mkv", "ffv1", "flac", options=(("slicecrc", "1"), ("level", "3"))),
)


def make_film(folder: Path, recipe: Recipe, frames: int) -> Path:
    """Writes `frames` pictures of the clip, with the sound beside them, and returns where."""
    os.environ.setdefault("SVT_LOG", "0")  # it writes to the terminal otherwise
    path = folder / recipe.name
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as target:
        rate = Fraction(25)
        picture = target.add_stream(recipe.video, rate, options=dict(recipe.options))
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, recipe.pix_fmt
        sound = target.add_stream(recipe.audio, recipe.rate, layout="stereo") if recipe.audio else None
        _encode_pictures(source, target, picture, frames)
        if sound is not None:
            _encode_sound(target, sound, seconds=float(frames / rate))
    return path


def _encode_pictures(source: av.container.InputContainer, target, picture, frames: int) -> None:
    scaler = VideoReformatter()
    for index, frame in enumerate(source.decode(video=0)):
        if index == frames:
            break
        small = scaler.reformat(frame, WIDTH, HEIGHT, picture.pix_fmt)
        small.pts, small.time_base, small.pict_type = index, 1 / picture.average_rate, 0
        target.mux(picture.encode(small))
    target.mux(picture.encode(None))


def _encode_sound(target, sound, seconds: float) -> None:
    resampler = av.AudioResampler(sound.format, sound.layout, sound.rate)
    with av.open(str(CLIP)) as source:
        for frame in source.decode(audio=0):
            if frame.time is None or frame.time > seconds:
                break
            for converted in resampler.resample(frame):
                target.mux(sound.encode(converted))
    target.mux(sound.encode(None))
