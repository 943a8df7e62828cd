"""Folders and patterns in, names out, collisions found before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from lipt_stream.errors import InputError, OutputError, SettingsError
from lipt_stream.stream.jobs import Existing, Job, plan_jobs


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.mkv", "c.avi", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_a_file_gets_its_scale_beside_it(films: Path) -> None:
    assert plan_jobs([str(films / "b.mp4")], None, 2).jobs == [Job(films / "b.mp4", films / "b_2x.mp4")]


def test_a_folder_gives_its_films_in_order_and_what_cannot_be_written_becomes_mkv(films: Path) -> None:
    names = [job.output.name for job in plan_jobs([str(films)], None, 4).jobs]
    assert names == ["a_4x.mkv", "b_4x.mp4", "c_4x.mkv"]


def test_kin_of_what_is_written_become_that(tmp_path: Path) -> None:
    for name in ("phone.3gp", "quick.QT", "flash.f4v", "real.rm"):
        (tmp_path / name).write_bytes(b"x")
    names = [job.output.name for job in plan_jobs([str(tmp_path)], None, 2).jobs]
    assert names == ["flash_2x.mp4", "phone_2x.mov", "quick_2x.mov", "real_2x.mkv"]


def test_a_pattern_in_and_a_pattern_out(films: Path) -> None:
    plan = plan_jobs([str(films / "[ab].m*")], str(films / "out" / "{stem}-x{scale}{ext}"), 2)
    assert [job.output for job in plan.jobs] == [films / "out" / "a-x2.mkv", films / "out" / "b-x2.mp4"]


def test_a_folder_out(films: Path) -> None:
    (films / "out").mkdir()
    assert plan_jobs([str(films / "b.mp4")], str(films / "out"), 2).jobs[0].output.parent.name == "out"


def test_a_file_named_twice_is_one_job(films: Path) -> None:
    assert len(plan_jobs([str(films / "b.mp4"), str(films)], None, 2).jobs) == 3


def test_where_no_pattern_keeps_two_films_apart_their_own_runs_do(films: Path) -> None:
    """Both become .mkv, and there is nothing else that a pattern could tell them apart by."""
    for name in ("c.avi", "c.wmv"):
        (films / name).write_bytes(b"x")
    with pytest.raises(OutputError, match=r"would all become c_2x\.mkv\. Upscale them in runs of their own, to diff"):
        plan_jobs([str(films)], None, 2)


def test_results_that_share_a_name_are_refused(films: Path) -> None:
    (films / "b.mkv").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"b\.mkv, .*b\.mp4 would all become b\.mkv"):
        plan_jobs([str(films / "b.*")], str(films / "out" / "{stem}.mkv"), 2)
    with pytest.raises(OutputError, match="Several files cannot all become"):
        plan_jobs([str(films)], str(films / "one.mp4"), 2)


def test_an_input_is_never_replaced(films: Path) -> None:
    with pytest.raises(OutputError, match="is an input"):
        plan_jobs([str(films / "b.mp4")], str(films / "b.mp4"), 2, existing="overwrite")


def test_what_exists_is_replaced_only_when_told(films: Path) -> None:
    (films / "b_2x.mp4").write_bytes(b"x")
    with pytest.raises(OutputError, match="--overwrite"):
        plan_jobs([str(films / "b.mp4")], None, 2)
    assert plan_jobs([str(films / "b.mp4")], None, 2, existing="overwrite").jobs


@pytest.fixture
def stopped(films: Path) -> Path:
    """As a run over the folder leaves it that was stopped during its second film."""
    for name in ("a_2x.mkv", "b_2x.partial.mp4", "b_2x.partial-2.mp4", "._c.avi"):
        (films / name).write_bytes(b"x")
    return films


def test_what_other_runs_left_in_a_folder_is_no_film(stopped: Path) -> None:
    plan = plan_jobs([str(stopped)], None, 2, existing="overwrite")
    assert [job.input.name for job in plan.jobs] == ["a.mkv", "b.mp4", "c.avi"]
    assert {path.name: reason for path, reason in plan.left_out.items()} == {
        "._c.avi": "macOS's notes on other files",
        "a_2x.mkv": "results of others",
        "b_2x.partial-2.mp4": "partial, of a run that was stopped",
        "b_2x.partial.mp4": "partial, of a run that was stopped",
    }
    named = plan_jobs([str(stopped / "b_2x.partial.mp4")], None, 2)
    assert [job.output.name for job in named.jobs] == ["b_2x.partial_2x.mp4"]


def test_results_of_runs_at_other_scales_and_into_matroska_are_no_films_either(films: Path) -> None:
    (films / "d.webm").write_bytes(b"x")
    for name in ("a_3x.mkv", "b_2x_3x.mp4", "b_2x.mp4", "c_1x.mkv", "d_2x.mkv", "d_2x.webm", "e_2x.mkv"):
        (films / name).write_bytes(b"x")
    plan = plan_jobs([str(films)], None, 4)
    assert [job.input.name for job in plan.jobs] == ["a.mkv", "b.mp4", "c.avi", "d.webm", "e_2x.mkv"]
    assert set(plan.left_out.values()) == {"results of others"}
    assert len(plan_jobs([str(films / "b_2x.mp4")], None, 4).jobs) == 1, "what is named is meant"
    (films / "larger").mkdir()
    assert len(plan_jobs([str(films)], str(films / "larger"), 4).jobs) == 11, "there results have other names"


def test_hidden_films_are_not_meant(films: Path) -> None:
    """As those in the bin of a telephone."""
    (films / ".trashed-1700000000-d.mp4").write_bytes(b"x")
    plan = plan_jobs([str(films)], None, 2)
    assert [job.input.name for job in plan.jobs] == ["a.mkv", "b.mp4", "c.avi"]
    assert list(plan.left_out.values()) == ["hidden"]
    assert len(plan_jobs([str(films / ".trashed-1700000000-d.mp4")], None, 2).jobs) == 1


@pytest.mark.parametrize("existing", ["refuse", "skip", "overwrite"])
def test_a_name_too_long_for_its_result_keeps_no_other_film_from_its_turn(films: Path, existing: Existing) -> None:
    (films / f"{'d' * 250}.mp4").write_bytes(b"x")
    plan = plan_jobs([str(films)], None, 2, existing=existing)
    assert [job.input.name[0] for job in plan.jobs] == ["a", "b", "c", "d"]


def test_a_run_that_was_stopped_goes_on(stopped: Path) -> None:
    with pytest.raises(OutputError, match="--skip-existing to go on with the others"):
        plan_jobs([str(stopped)], None, 2)
    plan = plan_jobs([str(stopped)], None, 2, existing="skip")
    assert [job.input.name for job in plan.jobs] == ["b.mp4", "c.avi"]
    assert plan.left_out[stopped / "a.mkv"] == "upscaled already"


def test_a_run_that_was_stopped_goes_on_where_a_shell_names_the_films(stopped: Path) -> None:
    names = [str(stopped / name) for name in ("a.mkv", "a_2x.mkv", "b.mp4")]
    with pytest.raises(OutputError, match="is an input"):
        plan_jobs(names, None, 2, existing="overwrite")
    assert [job.input.name for job in plan_jobs(names, None, 2, existing="skip").jobs] == ["b.mp4"]


def test_a_folder_all_of_whose_films_are_upscaled_leaves_nothing_to_do(films: Path) -> None:
    for name in ("a_2x.mkv", "b_2x.mp4", "c_2x.mkv"):
        (films / name).write_bytes(b"x")
    assert plan_jobs([str(films)], None, 2, existing="skip").jobs == []


def test_a_folder_of_leftovers_holds_no_film(tmp_path: Path) -> None:
    (tmp_path / "b_2x.partial.mp4").write_bytes(b"x")
    with pytest.raises(InputError, match="nothing but hidden files and what other runs left"):
        plan_jobs([str(tmp_path)], None, 2)


def test_nothing_found_is_said(films: Path) -> None:
    with pytest.raises(InputError, match=r"Nothing matches .*\.flv"):
        plan_jobs([str(films / "*.flv")], None, 2)
    (films / "empty").mkdir()
    with pytest.raises(InputError, match="No video files in"):
        plan_jobs([str(films / "empty")], None, 2)
    with pytest.raises(SettingsError, match="may hold"):
        plan_jobs([str(films / "b.mp4")], "{name}.mp4", 2)


def test_names_that_the_system_refuses(tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes(b"-")
    with pytest.raises(InputError, match="the name is too long"):
        plan_jobs([f"{tmp_path}/{'x' * 300}.mp4"], None, 2)
    for output in (f"{tmp_path}/{'x' * 300}.mp4", f"{tmp_path}/{'x' * 300}/{{stem}}{{ext}}"):
        with pytest.raises(OutputError, match="the name is too long"):
            plan_jobs([str(film)], output, 2)


def test_an_encoder_that_does_not_go_into_a_films_container_makes_it_matroska(films: Path) -> None:
    """As the presets', which name one, for a .webm."""
    (films / "d.webm").write_bytes(b"x")
    names = [job.output.name for job in plan_jobs([str(films)], None, 2, encoder="libx264").jobs]
    assert names == ["a_2x.mkv", "b_2x.mp4", "c_2x.mkv", "d_2x.mkv"]
    assert plan_jobs([str(films / "d.webm")], None, 2).jobs[0].output.name == "d_2x.webm"
    assert plan_jobs([str(films / "b.mp4")], str(films) + "/", 2, encoder="ffv1").jobs[0].output.name == "b_2x.mkv"


def test_what_a_folder_holds_that_may_be_meant_is_told(films: Path) -> None:
    (films / "gone.mp4").symlink_to("/media/disk/gone.mp4")
    for name in ("season 2", ".trash", "@eaDir", "larger"):
        (films / name).mkdir()
    plan = plan_jobs([str(films)], str(films / "larger") + "/", 2)
    assert {path.name: reason for path, reason in plan.left_out.items()} == {
        "gone.mp4": "links that lead nowhere",
        "season 2": "folders in a folder are not searched",
    }
    assert not plan.is_of_one_film


def test_one_film_is_one_that_was_named(films: Path) -> None:
    assert plan_jobs([str(films / "b.mp4")], None, 2).is_of_one_film
    assert not plan_jobs([str(films / "b.*")], None, 2).is_of_one_film
    assert not plan_jobs([str(films / "b.mp4"), str(films / "c.avi")], None, 2).is_of_one_film


def test_what_holds_nothing_is_not_upscaled_already(films: Path) -> None:
    (films / "b_2x.mp4").touch()
    (films / "a_2x.mkv").mkdir()
    plan = plan_jobs([str(films / "a.mkv"), str(films / "b.mp4")], None, 2, existing="skip")
    assert [job.input.name for job in plan.jobs] == ["a.mkv", "b.mp4"]


def test_a_folder_with_braces_in_its_name_is_one(films: Path) -> None:
    (films / "{old}").mkdir()
    assert plan_jobs([str(films / "b.mp4")], str(films / "{old}"), 2).jobs[0].output == films / "{old}" / "b_2x.mp4"
