"""LiveSpec: everything that a live session can be told, beside its source and its sinks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, get_args

from lipt_stream.engine.runtimes import Precision, RuntimeName
from lipt_stream.errors import SettingsError

_DAY_SECONDS: Final = 24 * 3600
_HIGHEST_KBPS: Final = 2_000_000
"""Encoders count bits in an int."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSpec:
    """Settings of a session. Raises SettingsError for values that cannot be meant.

    `model`: "auto" lets the deadline move along the ladder; a rung's name pins it. `latency_ms` is what a picture may
    take from its arrival to the sinks. `reuse_threshold`: by how many code values (of 255) a tile's input may differ
    from what it was computed from and still not be computed again; None computes everything always.
    """

    model: str = "auto"
    scale: int = 2
    device: str = "auto"
    precision: Precision = "auto"
    runtime: RuntimeName = "auto"
    threads: int | None = None
    latency_ms: float = 200.0
    duration_seconds: float | None = None
    stall_seconds: float = 3.0
    retries: int | None = None
    reuse_threshold: int | None = 0
    encoder: str = "auto"
    crf: int | None = None
    bitrate_kbps: int | None = None
    keyframe_seconds: float = 1.0

    def __post_init__(self) -> None:
        _check(self.scale in (1, 2, 3, 4), f"--scale is {self.scale}", "Use 1, 2, 3 or 4")
        for name, words in (("precision", get_args(Precision)), ("runtime", get_args(RuntimeName))):
            value = getattr(self, name)
            _check(value in words, f"--{name} is {value}", f"Use {', '.join(words)}")
        _check(1 <= self.latency_ms <= 60_000, f"--latency is {self.latency_ms:g} ms", "Use 1 to 60000, such as 200")
        for name in ("duration_seconds", "stall_seconds", "keyframe_seconds", "bitrate_kbps", "threads"):
            value = getattr(self, name)
            option = "--" + name.removesuffix("_seconds").removesuffix("_kbps")
            is_positive = value is None or (value > 0 and math.isfinite(value))
            _check(is_positive, f"{option} is {value}", "Give a number above 0")
        _check(self.stall_seconds <= _DAY_SECONDS, f"--stall is {self.stall_seconds:g}", "Give 86400 at most, a day")
        is_rate = self.bitrate_kbps is None or self.bitrate_kbps <= _HIGHEST_KBPS
        _check(is_rate, f"--bitrate is {self.bitrate_kbps} kbit/s", f"Give {_HIGHEST_KBPS} at most")
        _check(self.retries is None or self.retries >= 0, f"--retries is {self.retries}", "Give 0 or more")
        threshold = self.reuse_threshold
        _check(threshold is None or 0 <= threshold <= 64, f"--reuse-threshold is {threshold}", "Use 0 to 64, or off")


def _check(condition: bool, message: str, hint: str) -> None:
    if not condition:
        raise SettingsError(message, hint)
