from __future__ import annotations

import pytest

from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.media import encoders
from lipt_stream.media.encoder_choice import choose_encoder, option_names
from lipt_stream.media.encoders import ENCODERS, encoder_pix_fmts, probe_encoder

SOFTWARE = ["libx264", "libx265", "libsvtav1", "ffv1"]
HARDWARE = [name for name in ENCODERS if name.endswith("_nvenc")]


@pytest.mark.parametrize("name", SOFTWARE)
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_software_encoders_really_open(name: str, bit_depth: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert probe_encoder(name, ENCODERS[name].defaults, bit_depth) is None
    assert capfd.readouterr() == ("", ""), "no encoder may chat on the terminal"


@pytest.mark.parametrize("name", HARDWARE)
def test_a_hardware_encoder_either_works_or_says_why(name: str) -> None:
    trouble = probe_encoder(name)
    if trouble is None:
        assert choose_encoder(name).name == name
    else:
        with pytest.raises(DeviceError, match=f"{name} does not work here: .+ Try --encoder auto"):
            choose_encoder(name)


def test_auto_takes_one_that_works() -> None:
    for bit_depth, suffix in ((8, ".mp4"), (10, ".mkv"), (8, ".webm")):
        choice = choose_encoder("auto", bit_depth=bit_depth, suffix=suffix)
        assert probe_encoder(choice.name, choice.open_options(), bit_depth) is None
        assert suffix in choice.info.suffixes


@pytest.mark.parametrize(
    ("size", "suffix", "name"),
    [
        ((16384, 64), ".mp4", "libx264"),
        ((16400, 32), ".mp4", "libx265"),
        ((32, 32770), ".mkv", "libx265"),
        ((20000, 2), ".mkv", "ffv1"),
        ((20000, 2), ".mp4", "libx264"),  # which is refused when it is opened
    ],
)
def test_auto_takes_one_that_holds_the_size(size: tuple[int, int], suffix: str, name: str) -> None:
    assert choose_encoder("auto", suffix=suffix, size=size).name == name


def test_auto_takes_hardware_only_where_it_opens_at_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """An NVENC that encodes a small picture, which most machines lack, is put in place; its opening is real."""
    monkeypatch.setattr(encoders, "probe_encoder", lambda *_: None)
    assert choose_encoder("auto", size=(16384, 64)).name == "libx264", "no NVENC takes H.264 as wide as this"


def test_x264_defaults_to_crf_18() -> None:
    choice = choose_encoder("libx264")
    assert (choice.crf, choice.open_options()["crf"], choice.options["preset"]) == (18, "18", "veryfast")


def test_the_users_options_win() -> None:
    choice = choose_encoder("libx264", options={"preset": "slow", "tune": "film"})
    assert choice.options == {"preset": "slow", "tune": "film"}
    assert choose_encoder("libx264", options={"qp": "20"}).crf is None, "his own rate control replaces the crf"
    assert choose_encoder("libx265", crf=28).open_options()["crf"] == "28"
    params = {"x265-params": "no-sao=1:keyint=50"}
    assert choose_encoder("libx265", options=params).options["x265-params"] == params["x265-params"]
    assert choose_encoder("libx264", options={"preset": "3", "crf": "23.5"}).open_options()["crf"] == "23.5"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "libx246"}, "no encoder 'libx246'.*libx264"),
        ({"name": "libx264", "options": {"presset": "fast"}}, "no option 'presset'.*preset"),
        ({"name": "libx264", "options": {"preset": "slwo"}}, "no preset 'slwo'.*slow"),
        ({"name": "libx264", "options": {"tune": "warp"}}, "refuses the options tune=warp"),
        ({"name": "libx264", "options": {"x264-params": "keyint=50:bogus=1"}}, "Error parsing option 'bogus = 1'"),
        ({"name": "libx265", "options": {"x265-params": "no-sa0=1"}}, "Unknown option: no-sa0"),
        ({"name": "libsvtav1", "options": {"svtav1-params": "bogus=1"}}, "Error parsing option bogus: 1"),
        ({"name": "libx264", "options": {"color_range": "2"}}, "-e color_range would only call the picture what"),
        ({"name": "libx264", "options": {"colorspace": "bt709"}}, "-e colorspace would only"),
        ({"name": "libx264", "options": {"aspect": "4:3"}}, "-e aspect would only"),
        ({"name": "libx264", "options": {"crf": "99"}}, "-e crf=99 is off the scale"),
        ({"name": "libx264", "crf": 20, "options": {"crf": "10"}}, "--crf 20 and -e crf=10 both set the quality"),
        ({"name": "libx264", "crf": 20, "options": {"qp": "1", "b": "1M"}}, "--crf 20 and -e b=1M and -e qp=1 both"),
        ({"name": "libsvtav1", "options": {"preset": "99"}}, "refuses the options preset=99"),
        ({"name": "libx264", "crf": 99}, "crf 99 is off the scale"),
        ({"name": "libx264", "crf": -1}, "off the scale"),
        ({"name": "ffv1", "crf": 10}, "lossless"),
    ],
)
def test_mistakes_are_refused_before_any_work(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        choose_encoder(**arguments)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    assert caught.value.hint, "no way out is told"


def test_option_names_are_the_encoders_own() -> None:
    assert {"preset", "crf", "x264-params", "g", "b"} <= option_names("libx264")
    assert "x264-params" not in option_names("libx265")
    assert "lowres" not in option_names("libx264"), "an option of decoders"


def test_a_depth_that_an_encoder_lacks_becomes_the_nearest_below() -> None:
    assert encoder_pix_fmts("libx264", 12)[0] == "yuv420p10le"
    assert encoder_pix_fmts("libx265", 12)[0] == "yuv420p12le"
