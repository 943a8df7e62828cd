"""Which encoder a film gets, and whether what the user asks of it makes sense: before any work is done."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# PyAV's stubs leave the type parameter of Packet and the keyword arguments of its calls open.
from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import MappingProxyType
from typing import Final

import av
from av import logging
from av.codec.context import OptionFlags

from lipt_stream.errors import DeviceError, SettingsError, nearest
from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoders import ENCODERS, EncoderChoice, EncoderInfo, pix_fmt_that_opens, probe_encoder

_OF_THE_FILM: Final = frozenset(
    {"aspect", "chroma_sample_location", "color_primaries", "color_range", "color_trc", "colorspace"}
)
"""Options of FFmpeg's that label pictures, and change none: what they say is known."""
_FAST: Final = ("ultrafast", "superfast", "veryfast", "faster", "fast")
_PRESETS: Final = (*_FAST, "medium", "slow", "slower", "veryslow", "placebo")
_NO_PARAMETER: Final = re.compile("Unknown option|Error parsing option")


def choose_encoder(
    name: str = "auto",
    *,
    crf: int | None = None,
    options: Mapping[str, str] | None = None,
    bit_depth: int = 8,
    suffix: str = ".mp4",
    size: tuple[int, int] = (256, 256),
) -> EncoderChoice:
    """The encoder to use, checked down to its option values, before any work is done. `size`: (width, height).

    "auto" takes an NVENC that has encoded a frame and opens at this size (HEVC for 10 bits and up, else H.264): it
    costs no core, while x264 at 2160p cannot keep up beside anything. Without one, libx264, whose quality at a size is
    the better and which everything plays; libx265 or ffv1 for pictures that are too large for it. A .webm gets AV1, the
    only codec here that it may hold. Data-centre GPUs have no NVENC.

    Raises SettingsError: an unknown encoder or option (with the nearest names), an option or a parameter that only
    labels the picture, a value that the encoder refuses, a crf off its scale or beside others that set the quality.
    DeviceError: an encoder that does not open on this machine.
    """
    if name == "auto":
        name = _automatic(bit_depth, suffix.lower(), size)
    if name not in ENCODERS:
        raise SettingsError(f"There is no encoder '{name}'", nearest(name, [*ENCODERS, "auto"]))
    info = ENCODERS[name]
    given = dict(options or {})
    _check_option_names(info, given)
    _check_preset(info, given)
    choice = EncoderChoice(name, MappingProxyType({**info.defaults, **given}), _checked_crf(info, crf, given))
    trouble = probe_encoder(name, choice.open_options(), bit_depth)
    if trouble:
        plain = probe_encoder(name, None, bit_depth)
        if plain or not given:
            raise DeviceError(f"The encoder {name} does not work here: {plain or trouble}", "Try --encoder auto.")
        shown = " ".join(f"{key}={value}" for key, value in given.items())
        raise SettingsError(
            f"The encoder {name} refuses the options {shown}: {trouble}", "Correct -e, or leave it out."
        )
    if any(key.endswith("-params") for key in given):
        _refuse_passed_over(choice, bit_depth)
    return choice


def _refuse_passed_over(choice: EncoderChoice, bit_depth: int) -> None:
    """What stands within an encoder's own parameters and is no parameter is only warned of, where nobody hears it."""
    before = logging.get_level()
    logging.set_level(logging.WARNING)
    try:
        with logging.Capture() as heard:
            probe_encoder(choice.name, choice.open_options(), bit_depth)
    finally:
        logging.set_level(before)
    told = [words.strip().rstrip(".") for _, _, words in heard if _NO_PARAMETER.match(words)]
    if told:
        raise SettingsError(f"The encoder {choice.name} says: {'; '.join(told)}", "Correct -e, or leave it out.")


def _automatic(bit_depth: int, suffix: str, size: tuple[int, int]) -> str:
    software, hardware = ("libx264", "libx265", "ffv1"), "hevc_nvenc" if bit_depth > 8 else "h264_nvenc"
    if suffix == ".webm":
        software, hardware = ("libsvtav1",), "av1_nvenc"
    format = VideoFormat(width=size[0], height=size[1], pix_fmt="yuv420p" if bit_depth == 8 else "yuv420p10le")
    candidates = (hardware, *software) if probe_encoder(hardware, None, bit_depth) is None else software
    fitting = (name for name in candidates if suffix in ENCODERS[name].suffixes)
    return next((name for name in fitting if pix_fmt_that_opens(name, format, ENCODERS[name].defaults)), software[0])


def _checked_crf(info: EncoderInfo, crf: int | None, given: Mapping[str, str]) -> int | None:
    own_rate_control = (info.rate_control | {info.quality_option}) & given.keys()
    if crf is None:
        _check_quality_option(info, given)
        return info.default_crf if info.quality_option and not own_rate_control else None
    if others := sorted(own_rate_control - {"rc"}):  # which says how it is reached, and not what
        told = " and ".join(f"-e {key}={given[key]}" for key in others)
        raise SettingsError(f"--crf {crf} and {told} both set the quality", "Leave one of them out.")
    if not info.quality_option:
        raise SettingsError(f"{info.name} is lossless and has no --crf", "Leave it out, or name another --encoder.")
    if not 0 <= crf <= info.max_crf:
        raise SettingsError(f"--crf {crf} is off the scale of {info.name}", f"Give 0 (best) to {info.max_crf}.")
    return crf


def _check_quality_option(info: EncoderInfo, given: Mapping[str, str]) -> None:
    """Beyond its scale an encoder takes what is nearest, in silence. A value that is no number is refused by it."""
    key = info.quality_option
    with suppress(ValueError):
        if key in given and not 0 <= float(given[key]) <= info.max_crf:
            raise SettingsError(f"-e {key}={given[key]} is off the scale of {info.name}", f"Give 0 to {info.max_crf}.")


def _check_preset(info: EncoderInfo, given: Mapping[str, str]) -> None:
    """x264 itself complains of a wrong one in a line of its own, which nothing can keep from the screen."""
    preset = given.get("preset", "")
    if info.name in ("libx264", "libx265") and preset not in ("", *_PRESETS) and not preset.isdecimal():
        raise SettingsError(f"The encoder {info.name} has no preset '{preset}'", nearest(preset, _PRESETS))


def _check_option_names(info: EncoderInfo, given: Mapping[str, str]) -> None:
    known = option_names(info.name)
    for key in given:
        if key in _OF_THE_FILM:
            raise SettingsError(f"-e {key} would only call the picture what it is not", "The film's own is kept.")
        if key not in known:
            raise SettingsError(f"The encoder {info.name} has no option '{key}'", nearest(key, known))


@cache
def option_names(name: str) -> frozenset[str]:
    """Every option that the encoder `name` takes: its own, and those of all video encoders."""
    options = av.CodecContext.create(name, "w").supported_options
    wanted = OptionFlags.ENCODING_PARAM | OptionFlags.VIDEO_PARAM
    generic = (option.name for option in options.generic if option.flags & wanted == wanted)
    return frozenset(generic) | {option.name for option in options.private}
