"""Every bad input of the issue's list, through the command's own main(): one line that says what, and the way out."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lipt_stream.cli.main import main
from lipt_stream.media.file_sink import FileSink
from lipt_stream.model.catalog import find, path_of
from lipt_stream.model.weights import load_weights, save_weights
from tests.film import flat_picture

CPU = ("--device", "cpu", "--model", "nano")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    errors: str

    @property
    def line(self) -> str:
        """The one line of error."""
        lines = self.errors.strip().splitlines()
        assert len(lines) == 1, self.errors
        assert lines[0].startswith("error: ")
        assert "defect" not in lines[0]
        return lines[0]


Command = Callable[..., Done]


@pytest.fixture
def upscale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`lipt-stream upscale ...` in this process, run in an empty folder."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["lipt-stream", "upscale", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, errors = capfd.readouterr()
        return Done(int(end.value.code or 0), out, errors)

    return call


def write_film(path: Path, sizes: tuple[tuple[int, int], ...] = ((64, 48),), frames: int = 8) -> Path:
    """`frames` pictures of each size, one after the other, MPEG-2 in a transport stream, or FFV1 in Matroska."""
    codec, pix_fmt = ("mpeg2video", "yuv420p") if path.suffix == ".ts" else ("ffv1", "yuv420p")
    data = b""
    for number, (width, height) in enumerate(sizes):
        with av.open(str(path), "w") as target:
            stream = target.add_stream(codec, 25)
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            for index in range(frames):
                grain = np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)
                picture = av.VideoFrame.from_ndarray(grain, "rgb24").reformat(format=pix_fmt)
                picture.pts, picture.time_base = number * frames + index, Fraction(1, 25)
                target.mux(stream.encode(picture))
            target.mux(stream.encode(None))
        data += path.read_bytes()
    path.write_bytes(data)
    return path


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def nothing_written() -> bool:
    return list(Path.cwd().iterdir()) == []


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


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere/film.mp4", "../results/../nowhere.mkv"])
def test_a_missing_path(upscale: Command, name: str) -> None:
    done = upscale(name, "x.mkv", *CPU)
    assert done.code == 1
    assert f"{name}: there is no such file. Check the path" in done.line


def test_links_that_lead_in_a_circle(upscale: Command, tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    done = upscale(tmp_path / "loop.mp4", "x.mkv", *CPU)
    assert done.code == 1
    assert "its links lead in a circle. Check where they lead" in done.line


def test_names_that_are_empty_or_of_two_lines(upscale: Command) -> None:
    assert "An input has an empty name" in upscale("", "x.mkv", *CPU).line
    assert "Cannot read two\\nlines.mp4: there is no such file" in upscale("two\nlines.mp4", "x.mkv", *CPU).line


def test_a_local_address_is_told_from_others(upscale: Command, clip: Path) -> None:
    assert "Give the path of the file alone" in upscale(f"file://{clip}", "x.mkv", *CPU).line


def test_a_directory(upscale: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = upscale(tmp_path / "empty", *CPU)
    assert done.code == 1
    assert f"No video files in {tmp_path / 'empty'}" in done.line


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x.mp4", "rtsp://user:secret@127.0.0.1/live", "https://h/?a=*"])
def test_an_address(upscale: Command, address: str) -> None:
    done = upscale(address, "x.mkv", *CPU)
    assert done.code == 1
    assert "addresses are not read, only local files. Save the video to a file first" in done.line
    assert "secret" not in done.line
    assert nothing_written()


def test_two_films_of_a_shells_pattern_are_not_a_film_and_its_result(
    upscale: Command, tmp_path: Path, clip: Path
) -> None:
    second = Path(shutil.copy(clip, tmp_path / "b.mp4"))
    done = upscale(clip, second, *CPU)
    assert done.code == 1
    assert "b.mp4 exists already. To upscale both films add -o FOLDER/ or -o '{stem}_{scale}x{ext}'" in done.line
    assert "to replace the second, --overwrite" in done.line
    assert second.read_bytes() == clip.read_bytes()


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


def broken_weights(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.safetensors"
    if kind == "other":
        save_file({"conv.weight": torch.zeros(8, 3, 3, 3)}, path)
    elif kind == "pickle":
        path = folder / "pickle.pt"
        torch.save({"model": print}, path)
    elif kind == "resnet":
        path = folder / "resnet.pth"
        torch.save({"layer1.0.conv1.weight": torch.zeros(8, 3, 3, 3)}, path)
    elif kind == "nan":
        network, info = load_weights(path_of(find("nano-x2", 2)))
        with torch.no_grad():
            next(network.parameters())[0] = float("nan")
        save_weights(path, network, info)
    elif kind == "cut":
        path.write_bytes(path_of(find("nano-x2", 2)).read_bytes()[:-1_000])
    elif kind == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other", "safetensors file with no format in its metadata, not lipt-stream/1. Give one of lipt-stream's"),
        ("pickle", "holds more than tensors, and running code from it was refused. Use weights you trust"),
        ("resnet", "holds no LIPT network (it holds layer1.0.conv1.weight, ...). Give one of lipt-stream's"),
        ("nan", "has NaN or infinite numbers in"),
        ("cut", "It is damaged or incomplete: copy or download it again"),
        ("missing", "No weights file at"),
        ("directory", "weights"),
    ],
)
def test_wrong_weights(upscale: Command, tmp_path: Path, clip: Path, kind: str, words: str) -> None:
    weights = broken_weights(tmp_path, kind)
    done = upscale(clip, "x.mp4", "--device", "cpu", "--model", weights)
    assert done.code == 1
    assert words in done.line
    assert str(weights) in done.line
    assert nothing_written()


def test_weights_of_another_scale(upscale: Command, clip: Path) -> None:
    done = upscale(clip, "x.mp4", "--device", "cpu", "--model", path_of(find("nano-x2", 2)), "--scale", "3")
    assert done.code == 2
    assert "upscales x2, not x3. Use --scale 2" in done.line
    assert nothing_written()


def test_the_source_under_the_name_of_the_results_part(upscale: Command, clip: Path) -> None:
    shutil.copy(clip, "film.mp4.part")
    done = upscale("film.mp4.part", "film.mp4", *CPU, "--overwrite")
    assert done.code == 1
    assert "film.mp4.part, as it is called until it is whole, is the source itself. Choose another name" in done.line
    assert Path("film.mp4.part").read_bytes() == clip.read_bytes()


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


def test_a_copy_of_a_film_with_a_strange_name(upscale: Command, tmp_path: Path, clip: Path) -> None:
    strange = tmp_path / "100%: {a} [1] *?\u00e9\U0001f3ac.mp4"
    shutil.copy(clip, strange)
    done = upscale(strange, "x.mp4", *CPU, "--end", "0.1", "--quiet")
    assert (done.code, done.errors) == (0, "")
