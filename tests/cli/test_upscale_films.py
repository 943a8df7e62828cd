"""What the user is told about an odd film, and the options that decide about it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph

from tests.program import run_program as lipt


@pytest.fixture
def odd_film(tmp_path: Path) -> Path:
    """Interlaced H.264 in 4:2:2, six pictures."""
    path = tmp_path / "odd.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv422p"
        graph = Graph()
        graph.link_nodes(
            graph.add_buffer(width=96, height=64, format=av.VideoFormat("yuv422p"), time_base=Fraction(1, 25)),
            graph.add("setfield", "tff"),
            graph.add("buffersink"),
        ).configure()
        for n in range(6):
            picture = av.VideoFrame(96, 64, "yuv422p")
            for plane in picture.planes:
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
                rows[:] = 60
                rows[::2, 10 * n : 10 * n + 20] = 190
            picture.pts, picture.time_base = n, Fraction(1, 25)
            graph.vpush(picture)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path


def test_the_summary_names_every_loss_and_the_encoder(odd_film: Path, tmp_path: Path) -> None:
    done = lipt("upscale", odd_film, tmp_path / "out.mp4", "--model", "nano", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    for words in (
        "frames: 6 in, 6 out, 0 dropped",
        "encoder: libx264",
        "note: the video is interlaced; each frame is deinterlaced (bwdif) into one picture",
        "note: the chroma of yuv422p is resampled to half resolution (4:2:0)",
        "note: the colour matrix is not stated, BT.601 is assumed",
    ):
        assert done.stdout.count(words) == 1, done.stdout


def test_deinterlacing_can_be_refused_and_mistyped(odd_film: Path, tmp_path: Path) -> None:
    off = lipt("upscale", odd_film, tmp_path / "out.mp4", "--model", "nano", "--device", "cpu", "--deinterlace", "off")
    assert off.returncode == 0, off.stderr
    assert "the video is interlaced and stays so, as asked" in off.stdout
    wrong = lipt("upscale", odd_film, tmp_path / "two.mp4", "--deinterlace", "maybe")
    assert wrong.returncode == 2
    assert wrong.stderr.strip() == "error: deinterlace is 'maybe'. Use auto, off, on"
    assert not (tmp_path / "two.mp4").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("presset=slow", "The encoder libx264 has no option 'presset'. Did you mean preset"),
        ("preset=slwo", "The encoder libx264 has no preset 'slwo'. Did you mean slow"),
        ("tune=warp", "The encoder libx264 refuses the options tune=warp"),
        ("preset", "-e preset is no option. Write -e key=value, such as -e preset=slow"),
    ],
)
def test_encoder_options_are_checked_in_words(odd_film: Path, tmp_path: Path, option: str, words: str) -> None:
    done = lipt("upscale", odd_film, tmp_path / "out.mp4", "--encoder", "libx264", "-e", option)
    assert done.returncode == 2
    *others, last = done.stderr.strip().splitlines()
    assert words in last
    assert all(line.startswith("x264 [error]") for line in others), "x264 writes to the terminal by itself"
    assert [path.name for path in tmp_path.iterdir()] == ["odd.mkv"]


@pytest.mark.parametrize(("model", "name"), [("nano", "nano-x1-deblock"), ("nano-x1-denoise", "nano-x1-denoise")])
def test_at_scale_one_a_film_is_restored_and_keeps_its_size(clip: Path, tmp_path: Path, model: str, name: str) -> None:
    out = tmp_path / "restored.mp4"
    done = lipt("upscale", clip, out, "--scale", "1", "--model", model, "--device", "cpu", "--end", "0.3")
    assert done.returncode == 0, done.stderr
    assert f"network: {name}," in done.stdout
    with av.open(str(clip)) as source, av.open(str(out)) as result:
        before, after = (next(film.decode(video=0)) for film in (source, result))
    assert (after.width, after.height) == (before.width, before.height)
    planes = (frame.to_ndarray(format="gray").astype(float) for frame in (before, after))
    assert 0 < np.abs(np.subtract(*planes)).mean() < 8


def test_a_folder_goes_on_where_a_run_was_stopped(odd_film: Path, tmp_path: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    for name in ("a.mkv", "b.mkv", "b_2x.partial.mkv"):
        (films / name).write_bytes(odd_film.read_bytes())
    (films / "a_2x.mkv").write_bytes(b"the result of the first run")
    words = ("upscale", films, "--model", "nano", "--device", "cpu", "--skip-existing")
    first = lipt(*words)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(
        "left out: b_2x.partial.mkv (partial, of a run that was stopped)\n"
        "left out: a_2x.mkv (results of others)\n"
        "left out: a.mkv (upscaled already)\n"
    )
    assert (films / "a_2x.mkv").read_bytes() == b"the result of the first run"
    assert (films / "b_2x.mkv").exists()
    again = lipt(*words, "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert (told["files"], told["failed"]) == ([], [])
    assert {Path(one["input"]).name for one in told["left_out"]} == {path.name for path in films.iterdir()}
    both = lipt(*words, "--overwrite")
    assert (both.returncode, both.stderr) == (
        2,
        "error: --overwrite and --skip-existing contradict each other. Give one of them\n",
    )


def test_a_name_is_told_as_it_is(tmp_path: Path) -> None:
    """Rich makes pictures of words between colons: of a group of an IPv6 address, too, in the address of the page."""
    for name in ("take:100:a.mkv", "take:100:a_2x.mkv"):
        (tmp_path / name).write_bytes(b"nobody reads it")
    done = lipt("upscale", tmp_path, "--skip-existing")
    assert done.returncode == 0, done.stderr
    assert "left out: take:100:a.mkv (upscaled already)" in done.stdout
