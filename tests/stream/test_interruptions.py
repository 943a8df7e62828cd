"""Runs that end before the film does: nothing looks finished, what was kept plays, and one line says so."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from lipt_stream import InputError, PipelineSpec, Upscaler, upscale_file
from lipt_stream.stream.upscale import Progress

SPEC = PipelineSpec(model="nano", device="cpu", depth=2, encoder_options={"preset": "ultrafast"})


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler.load("nano", device="cpu")


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def small_film(clip: Path, path: Path) -> Path:
    """120 pictures of 64x36, lossless: far more bytes than a reader takes in ahead."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        pictures = [frame.reformat(64, 36) for frame in source.decode(video=0)]
        for index in range(120):
            picture = pictures[index % len(pictures)]
            picture.pts, picture.time_base = index, 1 / stream.average_rate
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_an_input_cut_while_it_is_read_says_where_the_part_is(
    clip: Path, tmp_path: Path, upscaler: Upscaler, suffix: str
) -> None:
    film = small_film(clip, tmp_path / "film.mkv")

    def cut(update: Progress) -> None:
        if update.frames == 20:
            os.truncate(film, film.stat().st_size // 2)

    with pytest.raises(InputError, match="was cut from") as error:
        upscale_file(film, tmp_path / f"large{suffix}", spec=SPEC, upscaler=upscaler, progress=cut)
    kept = tmp_path / f"large.partial{suffix}"
    assert f"What was done until then is in {kept}" in str(error.value)
    assert "\n" not in str(error.value)
    assert frames_of(kept) >= 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", kept.name]


def test_an_input_deleted_while_it_is_read_still_becomes_the_whole_film(
    clip: Path, tmp_path: Path, upscaler: Upscaler
) -> None:
    film = small_film(clip, tmp_path / "film.mkv")

    def delete(update: Progress) -> None:
        if update.frames == 5:
            film.unlink()

    report = upscale_file(film, tmp_path / "large.mkv", spec=SPEC, upscaler=upscaler, progress=delete)
    assert report.ok
    assert frames_of(tmp_path / "large.mkv") == report.frames_out == 120
    assert [path.name for path in tmp_path.iterdir()] == ["large.mkv"]
