"""Paths and addresses that lead nowhere or are taken, through the command's own main()."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import av
import pytest

from lipt_stream.cli.upscale import _Batch
from lipt_stream.stream.jobs import Job
from tests.cli.upscale_here import CPU, Command, nothing_written, write_film


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


def test_a_result_of_before_is_not_taken_for_a_second_film(upscale: Command, tmp_path: Path, clip: Path) -> None:
    larger = tmp_path / "b.mp4"
    with av.open(str(larger), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = 2 * 480, 2 * 270
        container.mux([*stream.encode(av.VideoFrame(stream.width, stream.height)), *stream.encode()])
    before = larger.read_bytes()
    done = upscale(clip, larger, *CPU)
    assert done.code == 1
    assert "b.mp4 exists already. Add --overwrite to replace it, or give another name" in done.line
    assert larger.read_bytes() == before


@pytest.mark.parametrize("option", [[], ["--overwrite"], ["--skip-existing"]], ids=str)
def test_two_films_of_a_shells_pattern_are_not_a_film_and_its_result(
    upscale: Command, tmp_path: Path, clip: Path, option: list[str]
) -> None:
    second = Path(shutil.copy(clip, tmp_path / "b.mp4"))
    done = upscale(clip, second, *CPU, *option)
    assert done.code == 1
    assert "b.mp4 exists already. To upscale both films add -o FOLDER/ or -o '{stem}_{scale}x{ext}'" in done.line
    assert "to replace the second, put -o before it and add --overwrite" in done.line
    assert second.read_bytes() == clip.read_bytes()


def test_a_film_twice_or_three_times_as_large_is_the_result_of_an_earlier_run(upscale: Command, tmp_path: Path) -> None:
    small = write_film(tmp_path / "a.mkv", ((64, 48),))
    large = write_film(tmp_path / "b.mkv", ((192, 144),))
    before = large.read_bytes()
    assert upscale(small, large, *CPU, "--skip-existing").code == 0
    assert large.read_bytes() == before
    assert upscale(small, large, *CPU, "--overwrite").code == 0
    assert large.read_bytes() != before


def test_the_source_under_the_name_of_the_results_part(upscale: Command, clip: Path) -> None:
    shutil.copy(clip, "film.mp4.part")
    done = upscale("film.mp4.part", "film.mp4", *CPU, "--overwrite")
    assert done.code == 1
    assert "film.mp4.part, as it is called until it is whole, is the source itself. Choose another name" in done.line
    assert Path("film.mp4.part").read_bytes() == clip.read_bytes()


def test_a_copy_of_a_film_with_a_strange_name(upscale: Command, tmp_path: Path, clip: Path) -> None:
    strange = tmp_path / "100%: {a} [1] *?\u00e9\U0001f3ac.mp4"
    shutil.copy(clip, strange)
    done = upscale(strange, "x.mp4", *CPU, "--end", "0.1", "--quiet")
    assert (done.code, done.errors) == (0, "")


def test_a_folder_behind_films_is_no_place_for_results_as_with_cp(upscale: Command, tmp_path: Path, clip: Path) -> None:
    second = shutil.copy(clip, tmp_path / "b.mp4")
    done = upscale(clip, second, f"{tmp_path}/", *CPU)
    assert done.code == 2
    assert f"{tmp_path}/ is a folder. For results in it write -o {tmp_path}/; for its films name it first" in done.line


def test_a_second_pattern_and_empty_names_are_refused(upscale: Command, clip: Path) -> None:
    assert "films/nope*.mp4 is where the result would go" in upscale(clip, "films/nope*.mp4", *CPU).line
    assert "--output has an empty name" in upscale(clip, "-o", "", *CPU).line
    assert "There is no preset" in upscale(clip, "x.mp4", "--preset", "", *CPU).line
    assert nothing_written()


def test_an_encoder_that_is_none_is_said_once_for_a_folder(upscale: Command, tmp_path: Path, clip: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, tmp_path / name)
    done = upscale(tmp_path, "--encoder", "nonsense", *CPU)
    assert done.code == 2
    assert "There is no encoder 'nonsense'" in done.line


@pytest.mark.parametrize("option", ["--start", "--end", "--tile"])
def test_numbers_beyond_all_measure(upscale: Command, clip: Path, option: str) -> None:
    done = upscale(clip, "x.mp4", option, "9" * 5000 if option == "--tile" else "1e17", *CPU)
    assert done.code == 2
    assert ("is no size" if option == "--tile" else "A cut counts seconds") in done.line


def test_films_that_were_not_begun_are_named(
    upscale: Command, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-C in the first of two."""
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(clip, tmp_path / name)

    def interrupted(batch: _Batch, job: Job) -> None:
        del job
        batch._signals.received = signal.SIGINT

    monkeypatch.setattr(_Batch, "_run_one", interrupted)
    done = upscale(tmp_path, "--json", *CPU)
    assert done.code == 130
    assert json.loads(done.out)["not_begun"] == [str(tmp_path / "b.mp4")]
