"""What `bench` is asked and what it found."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lipt_stream.engine.upscaler import Upscaler
from lipt_stream.media.deinterlace import Deinterlace
from lipt_stream.media.encoders import EncoderChoice
from lipt_stream.observe.gpu import GpuSummary
from lipt_stream.observe.timings import StageSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchCase:
    """What one case measured. Stage figures are milliseconds a frame, each stage alone; `fps` is all together, and
    `stages_together` with as many frames in flight as there are slots. `frames_in` and `frames_out` have the warm-up
    in them."""

    model: str
    device: str
    runtime: str
    precision: str
    encoder: str  # "null" where frames were thrown away
    depth: int
    source: str
    target: str
    frames_in: int
    frames_out: int
    frames_concealed: int
    warm_up_frames: int  # of all together
    fps: float
    serial_fps: float  # the naive loop: decode, upscale, encode, one after the other
    stages_alone_ms: dict[str, float]
    stages_together: dict[str, StageSummary]
    bottleneck: str
    verdicts: dict[str, bool]  # by target fps
    headroom: dict[str, float]  # fps / target fps; above 1 there is room
    media_fps: float | None
    tiles: int
    gpu: GpuSummary | None
    rss_before_mb: float  # of the process when the case began, with weights loaded and nothing compiled
    peak_rss_mb: float  # of this case on Linux; elsewhere of all up to it

    @property
    def realtime_factor(self) -> float | None:
        return self.fps / self.media_fps if self.media_fps else None

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        return fields | {
            "frames_dropped": self.frames_in - self.frames_out,
            "realtime_factor": self.realtime_factor,
        }


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """What to measure: for how long, with which encoder (None: frames are thrown away), against which rates."""

    upscaler: Upscaler
    depth: int
    encoder: EncoderChoice | None
    suffix: str  # of the files that are written
    encoder_threads: int | None
    decoder_threads: int | None
    deinterlace: Deinterlace
    seconds: float  # per measurement
    targets: Sequence[float]
