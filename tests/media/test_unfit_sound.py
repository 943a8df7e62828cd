"""Sound that no container here holds as it is: refused by name, decoded to PCM sample by sample, or left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.errors import OutputError
from lipt_stream.frame import END, Frame
from lipt_stream.media.copy_plan import Unfit
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.remux import StreamCopy
from lipt_stream.media.timeline import Cut
from lipt_stream.verify.audit import verify
from tests.film import flat_picture

RATE = 48_000
SOUNDS = {  # file -> encoder of the picture, of the sound, its rate, the muxer's options
    "camera.avi": ("mpeg4", "adpcm_ima_wav", 44_100, {}),
    "game.avi": ("mpeg4", "adpcm_ms", 44_100, {}),
    "concert.vob": ("mpeg2video", "pcm_dvd", RATE, {}),
    "concert.m2ts": ("libx264", "pcm_bluray", RATE, {"mpegts_m2ts_mode": "1"}),
    "broadcast.ts": ("libx264", "aac", RATE, {"mpegts_flags": "latm"}),
    "telephone.flv": ("flv", "nellymoser", 44_100, {}),
    "phone.avi": ("mpeg4", "pcm_alaw", 8_000, {}),
    "lecture.wmv": ("wmv2", "wmav2", 44_100, {}),  # its packets hold several blocks, of which one has a time
}
BLOCKS_A_PACKET = {"lecture.wmv": 3}


def joined(blocks: list[av.Packet], count: int) -> Iterator[av.Packet]:
    """Packets of `count` blocks of sound each, with the time of their first."""
    for place in range(0, len(blocks), count):
        together = blocks[place : place + count]
        packet = av.Packet(b"".join(map(bytes, together)))
        packet.pts, packet.dts, packet.stream = together[0].pts, together[0].dts, together[0].stream
        packet.time_base, packet.duration = together[0].time_base, sum(block.duration or 0 for block in together)
        yield packet


def write_film(
    path: Path, seconds: int = 1, *, layout: str = "stereo", rate: int | None = None, **options: str
) -> None:
    picture_codec, sound_codec, usual_rate, usual_options = SOUNDS[path.name]
    rate = rate or usual_rate
    with av.open(str(path), "w", options={**usual_options, **options}) as container:
        picture = container.add_stream(picture_codec, 25)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(sound_codec, rate, layout="mono" if sound_codec == "nellymoser" else layout)
        if sound_codec == "wmav2":
            sound.bit_rate, sound.format = 128_000, "fltp"
        sound.codec_context.open(strict=False)
        resampler = av.AudioResampler(sound.format, sound.layout, rate, sound.codec_context.frame_size or None)
        for n in range(25 * seconds):
            container.mux(picture.encode(flat_picture(n, 40 + 4 * n)))
        blocks: list[av.Packet] = []
        for start in range(0, rate * seconds, 1024):
            time = np.arange(start, start + 1024) / rate
            tones = np.stack([0.3 * np.sin(2 * np.pi * hertz * time) for hertz in (440, 660)]).astype(np.float32)
            block = av.AudioFrame.from_ndarray(tones, format="fltp", layout="stereo")
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            for whole in resampler.resample(block):
                blocks += sound.encode(whole)
        container.mux(picture.encode(None))
        for packet in joined([*blocks, *sound.encode(None)], BLOCKS_A_PACKET.get(path.name, 1)):
            container.mux(packet)


def through(source_path: Path, target: Path, unfit: Unfit, **cut: float) -> list[str]:
    with closing(FileSource(source_path, **cut)) as source:
        encoder = choose_encoder("libx264")
        sink = FileSink(target, source.format, encoder=encoder, copy_from=source_path, unfit=unfit, **cut)
        planes = source.format.new_planes()
        while (frame := source.read(planes)) is not END:
            assert isinstance(frame, Frame)
            sink.write(frame)
        sink.close()
        return sink.notes


def heard(path: Path) -> np.ndarray:
    """(channels, samples), as whole numbers where the decoder gives such."""
    with av.open(str(path)) as container:
        blocks = []
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            blocks.append(samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T)
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("name", SOUNDS)
def test_it_is_refused_with_its_name_and_what_would_work(tmp_path: Path, name: str) -> None:
    write_film(tmp_path / name)
    with pytest.raises(OutputError) as refusal:
        through(tmp_path / name, tmp_path / "out.mkv", "refuse")
    assert "matroska cannot hold audio of codec" in str(refusal.value)
    assert "ave it decoded to PCM with --unfit convert, or leave it out with --unfit drop." in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".mp4"])
@pytest.mark.parametrize("name", SOUNDS)
def test_what_is_heard_stays_sample_by_sample(tmp_path: Path, name: str, suffix: str) -> None:
    write_film(tmp_path / name)
    notes = through(tmp_path / name, tmp_path / f"out{suffix}", "convert")
    assert np.array_equal(heard(tmp_path / name), heard(tmp_path / f"out{suffix}"))
    told = [note for note in notes if " sound becomes pcm_" in note]
    fits_mov = name in ("telephone.flv", "phone.avi") and suffix == ".mov"
    assert len(told) == (0 if fits_mov else 1)
    checks = {check.name: check.detail for check in verify(tmp_path / name, tmp_path / f"out{suffix}").failed}
    assert checks == {}


@pytest.mark.parametrize("name", ["broadcast.ts", "concert.m2ts"])
@pytest.mark.parametrize(("later", "rate"), [("mono", RATE), ("5.1(side)", RATE), ("stereo", 96_000)])
def test_sound_that_changes_within_a_film_stays_whole(tmp_path: Path, name: str, later: str, rate: int) -> None:
    film, out = tmp_path / name, tmp_path / "out.mkv"
    write_film(film)
    first = film.read_bytes()
    write_film(film, layout=later, rate=rate, output_ts_offset="1.2")
    film.write_bytes(first + film.read_bytes())
    notes = through(film, out, "convert")
    assert [note for note in notes if note.endswith("channels or rate within the film: all is brought to its first")]
    assert not [note for note in notes if "damaged" in note]
    with av.open(str(out)) as container:
        blocks = [(block.time, block.samples / RATE) for block in container.decode(audio=0)]
    assert sum(seconds for _, seconds in blocks) == pytest.approx(2, abs=0.1)
    assert blocks[-1][0] + blocks[-1][1] == pytest.approx(2.2, abs=0.15)
    assert verify(film, out).failed == ()


def test_blocks_without_a_time_go_on_where_the_last_one_ended(tmp_path: Path) -> None:
    write_film(tmp_path / "lecture.wmv")
    through(tmp_path / "lecture.wmv", tmp_path / "out.mkv", "convert")
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size]
    assert len(times) > 15
    assert np.diff(times) == pytest.approx(2048 / 44_100, abs=0.002)
    assert times[0] == pytest.approx(2 * 2048 / 44_100, abs=0.002), "the decoder keeps the first two to itself"


def test_a_cut_cuts_what_is_decoded(tmp_path: Path) -> None:
    write_film(tmp_path / "concert.vob", seconds=2)
    through(tmp_path / "concert.vob", tmp_path / "out.mkv", "convert", start_seconds=0.5, end_seconds=1.5)
    assert heard(tmp_path / "out.mkv").shape[1] == pytest.approx(RATE, abs=1200)


@pytest.mark.parametrize("name", ["camera.avi", "concert.vob"])
def test_it_is_left_out_when_asked(tmp_path: Path, name: str) -> None:
    write_film(tmp_path / name)
    notes = through(tmp_path / name, tmp_path / "out.mkv", "drop")
    assert [note for note in notes if "is left out, as asked: .mkv cannot hold it" in note]
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video"]


def test_what_fits_is_copied_whatever_is_asked(clip: Path, tmp_path: Path) -> None:
    for unfit in ("refuse", "convert", "drop"):
        through(clip, tmp_path / f"{unfit}.mkv", unfit)
        with av.open(str(tmp_path / f"{unfit}.mkv")) as container:
            assert container.streams.audio[0].codec_context.name == "aac"


def test_sound_that_nothing_can_hold_is_left_out_only_when_asked(clip: Path, tmp_path: Path) -> None:
    """A codec that FFmpeg does not know fits no container, and nothing decodes it."""
    strange = tmp_path / "strange.mp4"
    strange.write_bytes(clip.read_bytes().replace(b"mp4a\x00\x00", b"zzzz\x00\x00").replace(b"esds", b"none"))
    for suffix in (".mp4", ".mkv"):
        with pytest.raises(
            OutputError, match=r"no decoder here .* cannot be copied\. Leave it out with --unfit drop\."
        ):
            StreamCopy(strange, tmp_path / f"x{suffix}", Cut(None, None))
        copy = StreamCopy(strange, tmp_path / f"x{suffix}", Cut(None, None), unfit="drop")
        copy.close()
        assert [note for note in copy.notes if "no decoder here" in note and "left out, as asked" in note]
