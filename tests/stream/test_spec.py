"""Presets override single fields; what is no field, or cannot be meant, is refused with the way out."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from lipt_stream.errors import SettingsError
from lipt_stream.stream.spec import _FIELD_TYPES, PipelineSpec, load_preset, preset_names


def test_every_field_can_be_set() -> None:
    assert set(_FIELD_TYPES) == {item.name for item in dataclasses.fields(PipelineSpec)}


def test_every_preset_loads() -> None:
    assert {"fast", "balanced", "quality"} <= set(preset_names())
    for name in preset_names():
        assert isinstance(load_preset(name), PipelineSpec)


def test_a_preset_overrides_only_its_fields(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('# mine\nmodel = "tiny"\ntile = 512\n[encoder_options]\npreset = "slow"\n')
    spec = load_preset(file, PipelineSpec(scale=3))
    assert (spec.model, spec.tile, spec.scale, spec.encoder_options) == ("tiny", 512, 3, {"preset": "slow"})


def test_a_preset_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('model = "tiny"\n', encoding="utf-8-sig")  # as some of Windows' editors write
    assert load_preset(file).model == "tiny"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scael = 2", "Did you mean scale?"),
        ('scale = "2"', "scale cannot be '2'"),
        ("scale = 5", "Use 1, 2, 3 or 4"),
        ("depth = 1", "Use 2 to 64 slots"),
        ('precision = "int3"', "Use auto, float32"),
        ("threads = 0", "Use 1 to 1024"),
        ('deinterlace = "maybe"', "Use auto, off, on"),
        ("threads = true", "threads cannot be True"),
        ('tile = "big"', "tile cannot be 'big'"),
        ("scale = 2.0", "scale cannot be 2.0. It is a whole number"),
        ("crf = 'low'", "It is a whole number or left out"),
        ("encoder_options = { crf = 3 }", "It is a table of words"),
        ("scale = ", "is not TOML"),
        ("scale = " + "[" * 5_000, "is not TOML"),
    ],
)
def test_a_wrong_preset_is_refused_in_words(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_preset(file)
    assert said in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_an_unknown_preset_names_the_nearest_and_the_encoders_own_way() -> None:
    with pytest.raises(SettingsError, match=r"Did you mean fast\?.*-e preset=fsat"):
        load_preset("fsat")
    with pytest.raises(SettingsError, match=r"quality\. An encoder's own preset"):
        load_preset("img/odd.png")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_preset("nowhere/mine.toml")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"depth": "4"}, "depth cannot be '4'. It is a whole number"),
        ({"tile": "512"}, "tile cannot be '512'"),
        ({"tile": 512.0}, "tile cannot be 512.0"),
        ({"scale": 2.0}, "scale cannot be 2.0"),
        ({"scale": True}, "scale cannot be True"),
        ({"threads": 2.5}, "threads cannot be 2.5. It is a whole number or left out"),
        ({"crf": "18"}, "crf cannot be '18'"),
        ({"model": None}, "model cannot be None. It is a word or a path"),
        ({"unfit": ["drop"]}, "unfit cannot be"),
        ({"encoder_options": {"bframes": 3}}, "It is a table of words"),
        ({"encoder_options": {3: "bframes"}}, "It is a table of words"),
        ({"encoder_options": None}, "encoder_options cannot be None"),
    ],
)
def test_a_program_is_told_of_a_wrong_type_as_a_preset_is(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PipelineSpec(**fields)
    assert said in str(caught.value)


def test_a_model_may_be_a_path() -> None:
    assert PipelineSpec(model=Path("mine.safetensors")).but({"scale": 3}).model == Path("mine.safetensors")


def test_specs_travel_to_other_processes() -> None:
    for spec in (PipelineSpec(), load_preset("quality")):
        assert pickle.loads(pickle.dumps(spec)) == spec
        assert PipelineSpec(**dataclasses.asdict(spec)) == spec


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PipelineSpec().scale = 3  # type: ignore[misc]
