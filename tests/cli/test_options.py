"""What becomes of a preset and of what is asked beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lipt_stream.cli.options import build_spec
from lipt_stream.media.encoder_choice import choose_encoder
from tests.program import run_program as lipt


@pytest.mark.parametrize(
    ("preset", "changes", "options", "wanted"),
    [
        ("fast", {}, [], {"crf": "20", "preset": "ultrafast"}),
        ("fast", {"encoder": "libx264"}, [], {"crf": "20", "preset": "ultrafast"}),
        ("fast", {}, ["tune=film"], {"crf": "20", "preset": "ultrafast", "tune": "film"}),
        ("fast", {}, ["b=2M"], {"preset": "ultrafast", "b": "2M"}),
        ("fast", {}, ["crf=30"], {"preset": "ultrafast", "crf": "30"}),
        ("fast", {"crf": 25}, ["preset=slow"], {"crf": "25", "preset": "slow"}),
        ("quality", {"encoder": "libsvtav1"}, [], {"crf": "24", "preset": "9"}),
        ("quality", {"encoder": "libsvtav1", "crf": 30}, ["preset=8"], {"crf": "30", "preset": "8"}),
        ("archive", {"encoder": "ffv1"}, [], {}),
    ],
)
def test_a_presets_encoding_gives_way_to_what_is_asked(
    preset: str, changes: dict[str, object], options: list[str], wanted: dict[str, str]
) -> None:
    spec = build_spec(preset, changes, options)
    encoder = choose_encoder(spec.encoder, crf=spec.crf, options=spec.encoder_options)
    assert encoder.open_options() == wanted


def test_a_quality_without_an_encoder_is_for_any(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("crf = 30")
    assert build_spec(str(tmp_path / "mine.toml"), {"encoder": "libx265"}).crf == 30


@pytest.mark.parametrize(
    ("preset", "network", "encoder", "options", "in_the_film"),
    [
        ("fast", "nano", "libx264", {"crf": "20", "preset": "ultrafast"}, b"crf=20.0"),
        ("quality", "tiny", "libx264", {"crf": "16", "preset": "slow"}, b"crf=16.0"),
        ("archive", "tiny", "libx265", {"crf": "14", "preset": "veryfast"}, b"crf=14.0"),
    ],
)
def test_a_preset_reaches_the_encoder(
    clip: Path, tmp_path: Path, preset: str, network: str, encoder: str, options: dict[str, str], in_the_film: bytes
) -> None:
    """x264 and x265 write their settings into the film."""
    result = tmp_path / "large.mkv"
    done = lipt("upscale", clip, result, "--preset", preset, "--device", "cpu", "--end", "0.1", "--json")
    report = json.loads(done.stdout)
    assert (report["model"].split("-x")[0], report["encoder"], report["encoder_options"]) == (network, encoder, options)
    assert (report["precision"] == "float32") or preset != "archive"
    assert in_the_film in result.read_bytes()


def test_the_preset_balanced_is_what_is_done_without_one(clip: Path, tmp_path: Path) -> None:
    reports = [
        json.loads(lipt("upscale", clip, tmp_path / name, *preset, "--device", "cpu", "--end", "0.1", "--json").stdout)
        for name, preset in (("a.mkv", ["--preset", "balanced"]), ("b.mkv", []))
    ]
    named, plain = ([report[key] for key in ("model", "encoder", "encoder_options", "precision")] for report in reports)
    assert named == plain
