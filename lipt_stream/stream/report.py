"""Report: what one run did and how fast, for people and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lipt_stream.observe.timings import StageSummary
from lipt_stream.verify.facts import Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One upscaled file. `seconds` is the whole wall time, `startup_seconds` its part before the first frame was read;
    `fps` and `realtime_factor` count the rest. `realtime_factor` above 1 is faster than the film plays.

    `frames_dropped` is frames_in - frames_out and 0 in a complete run: files are never dropped from.
    `frames_concealed` counts damaged pictures that were replaced or skipped by the decoder.
    `stages` tells how long each frame was in each, so that two frames which are computed at the same time, as OpenVINO
    does, count their time twice.
    `output` has the name that was asked for where `ok`; else one that says partial, or is None where nothing plays.
    """

    input: str
    output: str | None
    complete: bool  # False: stopped early
    frames_in: int
    frames_out: int
    frames_concealed: int
    seconds: float
    startup_seconds: float
    media_seconds: float
    source: str
    target: str
    model: str
    scale: int
    device: str
    runtime: str
    precision: str
    encoder: str
    encoder_options: Mapping[str, str]  # of the encoder itself, its quality included
    tiles: int
    peak_rss_mb: float  # of this film on Linux; elsewhere of all that the process did up to its end
    stages: Mapping[str, StageSummary]
    notes: tuple[str, ...]
    checks: tuple[Check, ...]  # the written file, read afresh: frames, timestamps, duration

    @property
    def frames_dropped(self) -> int:
        return self.frames_in - self.frames_out

    @property
    def fps(self) -> float:
        return self.frames_out / (self.seconds - self.startup_seconds)

    @property
    def realtime_factor(self) -> float:
        return self.media_seconds / (self.seconds - self.startup_seconds)

    @property
    def ok(self) -> bool:
        """Whether every frame that came in went out, and is found in the written file."""
        return self.complete and self.frames_dropped == 0 and all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able mapping of every field and every derived figure."""
        fields = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        fields["stages"] = {name: dataclasses.asdict(stage) for name, stage in self.stages.items()}
        fields["encoder_options"] = dict(self.encoder_options)
        fields["notes"] = list(self.notes)
        fields["checks"] = [dataclasses.asdict(check) for check in self.checks]
        derived = {name: getattr(self, name) for name in ("frames_dropped", "fps", "realtime_factor", "ok")}
        return fields | derived
