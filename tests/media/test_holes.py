"""Holes in sound that becomes, or stays, PCM in MP4 and MOV, which time it by its samples alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.frame import END, Frame
from lipt_stream.media import remux
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.holes import HoleFiller
from lipt_stream.verify.audit import verify
from tests.film import flat_picture

SECONDS = 3
PCM = [  # a film, of what, and where it goes; MP4 holds none of eight bits
    *(("film.mkv", codec, suffix) for codec in ("pcm_s16le", "pcm_s24le", "pcm_f32le") for suffix in (".mov", ".mp4")),
    *(("film.nut", codec, ".mov") for codec in ("pcm_u8", "pcm_mulaw", "pcm_alaw")),
]

IsKept = Callable[[float], bool]


def has_hole(seconds: float) -> bool:
    return not 1 <= seconds < 2


def write_film(
    path: Path,
    codec: str = "pcm_s16le",
    is_kept: IsKept = has_hole,
    *,
    rate: int = 48_000,
    offsets_ms: Sequence[int] = (0,),
) -> None:
    """A tone beside a picture, of which the packets that begin where `is_kept` says so are written, `offsets_ms` later,
    the one by the first of them, the next by the second."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", 25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(codec, rate, layout="stereo")
        if codec == "wmav2":
            sound.bit_rate, sound.format = 128_000, "fltp"
        sound.codec_context.open(strict=False)
        packets: list[av.Packet] = []
        for number in range(25 * SECONDS):
            packets += picture.encode(flat_picture(number, 40 + 2 * number))
        size = sound.codec_context.frame_size or 1_000
        resampler = av.AudioResampler(sound.format, sound.layout, rate)
        kept: list[av.Packet] = []
        for start in range(0, rate * SECONDS, size):
            tone = 0.5 * np.cos(2 * np.pi * 440 * np.arange(start, start + size) / rate).astype(np.float32)
            block = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            for whole in resampler.resample(block):
                kept += [packet for packet in sound.encode(whole) if is_kept(float(packet.pts * packet.time_base))]
        for number, packet in enumerate(kept):
            packet.pts += round(offsets_ms[number % len(offsets_ms)] * rate / 1000)
            packet.dts = packet.pts
        container.mux(sorted([*packets, *picture.encode(None), *kept], key=lambda one: one.dts * one.time_base))


def through(source_path: Path, target: Path, **cut: float) -> list[str]:
    with closing(FileSource(source_path, **cut)) as source:
        encoder = choose_encoder("libx264")
        sink = FileSink(target, source.format, encoder=encoder, copy_from=source_path, unfit="convert", **cut)
        planes = source.format.new_planes()
        while (frame := source.read(planes)) is not END:
            assert isinstance(frame, Frame)
            sink.write(frame)
        sink.close()
        return [note for note in sink.notes if "holes in the audio" in note]


def loud(path: Path) -> list[tuple[float, float]]:
    """From when to when there is sound, counted from the first picture: pauses of a fiftieth of a second part it."""
    with av.open(str(path)) as container:
        zero = next(container.decode(video=0)).time
    heard: list[float] = []
    with av.open(str(path)) as container:
        for block in container.decode(audio=0):
            if block.time is None:  # of WMA's, the first
                continue
            samples = block.to_ndarray().astype(np.float64)
            samples = samples[0] if block.format.is_planar else samples.reshape(-1, block.layout.nb_channels)[:, 0]
            if block.format.name == "u8":
                samples -= 128
            full = {"u8": 128, "s16": 2**15, "s32": 2**31}.get(block.format.packed.name, 1)
            heard += (block.time - zero + np.flatnonzero(np.abs(samples) > full / 20) / block.sample_rate).tolist()
    pauses = np.flatnonzero(np.diff(heard) > 0.02)
    starts, ends = [heard[0], *(heard[n + 1] for n in pauses)], [*(heard[n] for n in pauses), heard[-1]]
    return list(zip(starts, ends, strict=True))


def failed(source: Path, result: Path) -> dict[str, str]:
    return {check.name: check.detail for check in verify(source, result).failed}


@pytest.mark.parametrize(("name", "codec", "suffix"), PCM)
def test_what_follows_stays_in_time(tmp_path: Path, name: str, codec: str, suffix: str) -> None:
    film, out = tmp_path / name, tmp_path / f"out{suffix}"
    write_film(film, codec)
    notes = through(film, out)
    assert np.array(loud(out)) == pytest.approx(np.array(loud(film)), abs=0.003)
    assert len(loud(out)) == 2
    assert len(notes) == 1
    assert "0.99 s of silence" in notes[0] or "1.00 s of silence" in notes[0]
    assert failed(film, out) == {}


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
@pytest.mark.parametrize(("name", "codec"), [("film.wmv", "wmav2"), ("film.m2ts", "pcm_bluray")])
def test_so_it_does_where_it_is_decoded(tmp_path: Path, name: str, codec: str, suffix: str) -> None:
    film, out = tmp_path / name, tmp_path / f"out{suffix}"
    write_film(film, codec, rate=44_100 if codec == "wmav2" else 48_000)
    notes = through(film, out)
    assert loud(out)[-1][0] == pytest.approx(loud(film)[-1][0], abs=0.003)
    assert len(notes) == 1
    assert failed(film, out) == {}


@pytest.mark.parametrize(("name", "codec"), [("film.mkv", "pcm_s16le"), ("film.wmv", "wmav2")])
def test_verify_hears_a_hole_that_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, codec: str
) -> None:
    film, out = tmp_path / name, tmp_path / "out.mov"
    write_film(film, codec, rate=44_100)
    monkeypatch.setattr(remux, "hole_filler", lambda *_: None)
    through(film, out)
    allowed_ms = 120 if codec == "wmav2" else 20
    assert failed(film, out)["audio 1 heard"].endswith(f"ms early, {allowed_ms} are allowed")


@pytest.mark.parametrize("suffix", [".mov", ".mp4"])
def test_sound_that_begins_late_has_no_hole(tmp_path: Path, suffix: str) -> None:
    film, out = tmp_path / "film.mkv", tmp_path / f"out{suffix}"
    write_film(film, is_kept=lambda seconds: seconds >= 0.7)
    assert through(film, out) == []
    assert loud(out) == [pytest.approx(loud(film)[0], abs=0.003)]
    assert failed(film, out) == {}


@pytest.mark.parametrize("offsets_ms", [[0], [0, 4, -4, 7]])
def test_rounding_and_jitter_are_no_holes(tmp_path: Path, offsets_ms: list[int]) -> None:
    film, out = tmp_path / "film.mkv", tmp_path / "out.mov"
    write_film(film, is_kept=lambda _: True, rate=44_100, offsets_ms=offsets_ms)
    assert through(film, out) == []
    with av.open(str(out)) as container:
        assert sum(block.samples for block in container.decode(audio=0)) == 133_000


def test_small_holes_do_not_add_up(tmp_path: Path) -> None:
    """Of 8 ms each, 37 of them."""
    film, out = tmp_path / "film.mkv", tmp_path / "out.mov"
    write_film(film, is_kept=lambda seconds: round(seconds * 125) % 10 != 5, rate=125_000)
    through(film, out)
    assert loud(out)[-1][1] == pytest.approx(loud(film)[-1][1], abs=0.011)
    assert failed(film, out) == {}


def test_a_cut_begins_and_ends_in_holes(tmp_path: Path) -> None:
    film, out = tmp_path / "film.mkv", tmp_path / "out.mov"
    write_film(film, is_kept=lambda seconds: not (0.5 <= seconds < 1 or 1.5 <= seconds < 1.8 or 2.2 <= seconds < 2.6))
    notes = through(film, out, start_seconds=0.72, end_seconds=2.4)
    assert " (1) are filled with" in notes[0]
    right = [(start - 0.72, end - 0.72) for start, end in loud(film)[1:3]]
    assert np.array(loud(out)) == pytest.approx(np.array(right), abs=0.003)


def filled(begins: Sequence[int]) -> tuple[list[int], list[str]]:
    """Where packets of 1000 samples, which begin as told, come to lie among the silence, and the notes on it."""
    filler = HoleFiller("pcm_s16le", 2, 48_000, Fraction(1, 100))
    sent: list[av.Packet] = []
    for begin in begins:
        packet = av.Packet(b"\1" * 4 * 1_000)
        packet.pts, packet.time_base = begin, Fraction(1, 48_000)
        sent += filler.fill(packet)
    sent += filler.rest()
    assert [later.pts - earlier.pts for earlier, later in pairwise(sent)] == [one.duration for one in sent[:-1]]
    return [packet.pts for packet in sent if any(bytes(packet))], [*filler.notes("sound")]


def test_one_wrong_time_is_no_hole() -> None:
    assert filled([0, 20_000, 2_000, 3_000]) == ([0, 1_000, 2_000, 3_000], [])


def test_silence_is_as_long_as_the_hole_even_at_the_end() -> None:
    begins = [500, 200_000, 201_000, 300_000]
    assert filled(begins)[0] == begins


def test_after_an_overlap_a_hole_is_the_shorter() -> None:
    assert filled([0, 1_000, 1_200, 2_200, 6_000, 7_000])[0] == [0, 1_000, 2_000, 3_000, 6_000, 7_000]


def test_a_time_that_is_hours_ahead_fills_no_disk() -> None:
    hours = 5 * 3_600 * 48_000
    begins, notes = filled([0, 1_000, hours, hours + 1_000])
    assert begins == [0, 1_000, 2_000, 3_000]
    assert notes == ["holes in the sound (1) are too long to be filled; what follows comes early"]
