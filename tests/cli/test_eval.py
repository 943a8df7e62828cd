"""`lipt-stream eval` in a process of its own: tables, JSON, what is left out, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lipt_stream.cli import eval
from lipt_stream.errors import InputError
from lipt_stream.model.catalog import find, path_of
from lipt_stream.stream.spec import PipelineSpec
from tests.program import run_program as lipt


def test_json_has_every_weights_and_both_baselines(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(folder / "a.png")
    done = lipt("eval", "--data", folder, "--scale", "2", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    for name in ("bicubic", "lanczos", "nano-x2", "tiny-x2"):
        assert 20 < scores[name]["psnr_y"] < 100
        assert 0 < scores[name]["ssim_y"] <= 1
    assert "bicubic" in lipt("eval", "--data", folder, "--model", "nano", "--device", "cpu", "--per-image").stdout
    file = path_of(find("nano-x2", 2))
    twice = lipt("eval", "--data", folder, "--model", file, "--model", "nano-x2", "--device", "cpu", "--json")
    assert json.loads(twice.stdout).keys() >= {"nano-x2", str(file)}, "a file is called by its path, as given"


def test_shows_names_as_they_are_and_measures_enlargement_alone(tmp_path: Path) -> None:
    Image.radial_gradient("L").resize((32, 32)).save(tmp_path / "photo[bold].png")
    shown = lipt("eval", "--data", tmp_path, "--model", "nano", "--device", "cpu", "--per-image")
    assert "photo[bold].png" in shown.stdout
    files = [path_of(find(name, 2)) for name in ("nano-x2", "nano-x2-video")]
    told = lipt("eval", "--data", tmp_path, "--model", files[0], "--model", files[1], "--device", "cpu", "--per-image")
    assert all(str(file) in told.stdout for file in files)
    refused = lipt("eval", "--data", tmp_path, "--model", "nano-x1-deblock", "--device", "cpu")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: nano-x1-deblock is for --task deblock, and eval measures enlargement.")


def test_json_says_null_where_an_image_comes_out_exact(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (90, 90, 90)).save(tmp_path / "flat.png")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    for arguments in (["--model", "nano"], ["--all"]):
        done = lipt("eval", "--data", tmp_path, *arguments, "--device", "cpu", "--json")
        assert done.returncode == 0, done.stderr
        assert "null" in done.stdout
        assert done.stderr.startswith("flat.png: came out exactly, so that the mean is infinite.")
        json.loads(done.stdout, parse_constant=refuse)


def test_of_all_is_a_table_of_every_weights_at_its_scale_on_every_set(tmp_path: Path) -> None:
    for name, side in (("Larger14", 72), ("Set5", 64)):
        (tmp_path / name).mkdir()
        Image.radial_gradient("L").convert("RGB").resize((side, 64)).save(tmp_path / name / "a.png")
    done = lipt("eval", "--all", "--data", tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    head, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    assert head == ["scale", "weights", "parameters", "Set5", "Larger14"]
    assert set(rule) == {"---"}
    shown = {(scale, name) for scale, name, *_ in rows}
    assert {
        ("x2", "bicubic"),
        ("x4", "lanczos"),
        ("x2", "nano-x2"),
        ("x2", "tiny-x2-video"),
        ("x4", "tiny-x4"),
    } <= shown
    for row in rows:
        for figures in row[3:]:
            psnr, ssim = map(float, figures.split(" / "))
            assert 20 < psnr < 100
            assert 0 < ssim <= 1
    refused = lipt("eval", "--all", "--scale", "2", "--data", tmp_path)
    assert refused.returncode == 2
    assert "--all" in refused.stderr


def test_of_all_takes_images_beside_the_sets_for_one_more(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "a.png", tmp_path / "set" / "b.png"):
        Image.radial_gradient("L").convert("RGB").resize((64, 64)).save(path)
    done = lipt("eval", "--all", "--data", tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    sets = [cell.strip() for cell in done.stdout.splitlines()[0].strip("|").split("|")[3:]]
    assert sets == ["set", f"{tmp_path.name} itself"]
    assert done.stderr == f"left out: {tmp_path / 'empty'} holds no image\n"


def test_of_all_refuses_what_is_too_small_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is large enough at x2 and x3, whose networks would take hours on many images."""
    Image.radial_gradient("L").resize((64, 18)).save(tmp_path / "flat.png")
    monkeypatch.setattr(eval, "load_upscaler", lambda _: pytest.fail("a network was loaded"))
    with pytest.raises(InputError, match=r"flat\.png is too small to be compared at x4"):
        eval.score_all(tmp_path, PipelineSpec())
