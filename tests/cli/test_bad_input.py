"""Films that are damaged, odd or none at all, through the command's own main(): one line says what, and the way out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lipt_stream.media.file_sink import FileSink
from tests.cli.upscale_here import CPU, Command, frames_of, nothing_written, write_film
from tests.film import flat_picture


def test_truncated(upscale: Command, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", frames=25)
    film.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 0
    assert "note: the file states 1.00 s of pictures, but they end at" in done.out


def test_truncated_before_its_index(upscale: Command, tmp_path: Path, clip: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(clip)) as source, av.open(str(film), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    film.write_bytes(film.read_bytes()[:-20_000])  # the index of a plain MP4 is at its end
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 1
    assert "film.mp4: not a video, or damaged beyond reading. Try to play it first" in done.line
    assert nothing_written()


def test_corrupt_in_the_middle(upscale: Command, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mkv", frames=20)
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = bytes(2_000)
    film.write_bytes(data)
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 0
    assert "note: " in done.out
    assert any(word in done.out for word in ("damaged", "are missing there")), done.out
    assert 15 <= frames_of(Path("x.mkv")) <= 20


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("noise.mkv", np.random.default_rng(0).bytes(60_000)),
        ("text.mp4", b"Dear diary,\nthis is no film.\n" * 100),
        ("text.ts", b"a" * 10_000),
        ("zeros.mp4", bytes(100_000)),
        ("header.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2"),
        ("script.avs", b'Import("/etc/passwd")'),
    ],
)
def test_not_a_video(upscale: Command, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    done = upscale(tmp_path / name, "x.mkv", *CPU)
    assert done.code == 1
    assert f"Cannot read {tmp_path / name}: " in done.line
    assert done.line.rstrip(".").count(". ") >= 1, "no way out is told"
    assert nothing_written()


def test_a_playlist_is_not_followed(upscale: Command, tmp_path: Path, clip: Path) -> None:
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n")
    done = upscale(playlist, "x.mkv", *CPU)
    assert done.code == 1
    assert "Name the video file itself" in done.line or "not a video" in done.line


def test_sound_alone(upscale: Command, tmp_path: Path, clip: Path) -> None:
    sound = tmp_path / "sound.m4a"
    with av.open(str(clip)) as source, av.open(str(sound), "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    done = upscale(sound, "x.mkv", *CPU)
    assert done.code == 1
    assert "sound.m4a: it holds no video, only audio. Name a file with pictures" in done.line
    assert nothing_written()


def write_camera_film(path: Path) -> None:
    """An AVI as cameras made them: its sound (ADPCM) fits no container that is written here."""
    with av.open(str(path), "w") as target:
        picture, sound = target.add_stream("mpeg4", 25), target.add_stream("adpcm_ima_wav", 44_100, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 32, 32, "yuv420p"
        for number in range(5):
            target.mux(picture.encode(flat_picture(number, size=(32, 32))))
        sound.codec_context.open(strict=False)
        for start in range(0, 4 * sound.codec_context.frame_size, sound.codec_context.frame_size):
            samples = np.zeros((1, sound.codec_context.frame_size), np.int16)
            block = av.AudioFrame.from_ndarray(samples, format="s16p", layout="mono")
            block.sample_rate, block.pts, block.time_base = 44_100, start, Fraction(1, 44_100)
            target.mux(sound.encode(block))
        target.mux(picture.encode(None))
        target.mux(sound.encode(None))


def test_sound_that_no_container_holds(upscale: Command, tmp_path: Path) -> None:
    film = tmp_path / "camera.avi"
    write_camera_film(film)
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 1
    assert "matroska cannot hold audio of codec adpcm_ima_wav. Have it decoded to PCM with --unfit convert" in done.line
    assert nothing_written()
    assert upscale(film, "x.mkv", *CPU, "--unfit", "keep").line.endswith("Use refuse, convert, drop")
    assert upscale(film, "kept.mkv", *CPU, "--unfit", "convert").code == 0
    assert upscale(film, "silent.mkv", *CPU, "--unfit", "drop").code == 0
    for name, codecs in (("kept.mkv", ["h264", "pcm_s16le"]), ("silent.mkv", ["h264"])):
        with av.open(name) as container:
            assert [stream.codec_context.name for stream in container.streams] == codecs


def test_a_film_of_no_pictures(upscale: Command, tmp_path: Path) -> None:
    film = tmp_path / "none.mkv"
    with av.open(str(film), "w") as target:
        stream = target.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        target.start_encoding()
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 1
    assert "none.mkv: it ends before its first picture. Copy or download it again" in done.line
    assert nothing_written()


def test_the_size_changes_in_the_middle(upscale: Command, tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.ts", ((64, 48), (96, 64)))
    with av.open(str(film)) as container:
        decoded = [(frame.width, frame.height) for frame in container.decode(video=0)]
    assert set(decoded) == {(64, 48), (96, 64)}
    done = upscale(film, "x.mkv", *CPU)
    assert done.code == 0
    assert "note: the size changes within the film; all is scaled to 64x48" in done.out
    with av.open("x.mkv") as container:
        pictures = list(container.decode(video=0))
    assert len(pictures) == len(decoded)  # 15: at the change FFmpeg's decoder forgets the picture that it still held
    assert {(picture.width, picture.height) for picture in pictures} == {(128, 96)}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".mp4"])
def test_an_image_is_a_film_of_one_picture(upscale: Command, tmp_path: Path, suffix: str) -> None:
    image = tmp_path / f"image{suffix}"
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(image, "JPEG" if suffix == ".jpg" else "PNG")
    done = upscale(image, "x.mkv", *CPU)
    assert done.code == 0, done.errors
    assert "note: this is a still picture; the result is a film of one picture" in done.out
    assert frames_of(Path("x.mkv")) == 1


@pytest.mark.parametrize("option", ["--quiet", "--json", "--overwrite"])
def test_a_result_that_lost_a_picture(
    upscale: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    film = write_film(tmp_path / "film.mkv")
    real, count = FileSink._mux, iter(range(1000))

    def losing(sink: FileSink, packets: list[av.Packet]) -> None:
        real(sink, [packet for packet in packets if next(count) != 3])  # type: ignore[arg-type]

    monkeypatch.setattr(FileSink, "_mux", losing)
    done = upscale(film, "x.mkv", *CPU, option)
    assert done.code == 1
    assert "x.mkv does not hold what was written to it: frames (8 were written, the file holds 7)" in done.line
    assert "It is kept as x.partial.mkv" in done.line
    assert [path.name for path in Path.cwd().iterdir()] == ["x.partial.mkv"], "nothing looks finished"
    if option == "--quiet":
        assert done.out == ""
    elif option == "--json":
        report = json.loads(done.out)
        assert (report["ok"], report["complete"], report["output"]) == (False, True, "x.partial.mkv")
    else:
        assert done.out.startswith("x.partial.mkv (a check failed: partial)")
