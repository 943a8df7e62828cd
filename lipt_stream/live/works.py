"""What a session is made of once the source's first picture is known: engine, ladder, sinks, and the way between."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from lipt_stream.engine.slots import Engine
from lipt_stream.errors import InputError
from lipt_stream.frame import VideoFormat
from lipt_stream.live.broadcast import Broadcast
from lipt_stream.live.journey import DEPTH, Journey
from lipt_stream.live.ladder import Step
from lipt_stream.live.outlet import make_sink
from lipt_stream.live.pilot import LadderPilot
from lipt_stream.live.preview import PreviewSink
from lipt_stream.live.rungs import Rungs
from lipt_stream.live.spec import LiveSpec
from lipt_stream.live.stats import LiveMeters
from lipt_stream.live.targets import Target
from lipt_stream.media.encoded import EncodedStream
from lipt_stream.media.fit import Fit
from lipt_stream.media.live_sound import LiveSound

USUAL_FPS: Final = Fraction(30)
"""Of a source that states no rate and was not measured yet."""


JOURNEY_SECONDS: Final = 0.4
"""What the pictures in flight may take at the end, above a tenth of a second."""


class Works:
    """Everything from a decoded picture to the sinks. `begin` and `end` are called once each: before the first picture,
    and after the source has stopped."""

    def __init__(
        self,
        source: VideoFormat,
        rungs: Rungs,
        spec: LiveSpec,
        meters: LiveMeters,
        *,
        sound: EncodedStream | None,
        first_sound: bytes,
        preview: PreviewSink | None,
        is_baseline: bool,
        standstill: Callable[[], str | None],
        on_step: Callable[[Step], None],
    ) -> None:
        """Compiles networks, which takes seconds, and begins nothing. `sound` is the source's, `first_sound` its first
        packet, b"" where none came yet; for `is_baseline` see Broadcast. Raises what Engine, Broadcast and Ladder.pin
        raise."""
        self._stated_fps = float(source.frame_rate or USUAL_FPS)
        self._meters = meters
        self.rungs = rungs
        self.notes: list[str] = []
        """What must be said of the source."""
        live_sound = self._live_sound(sound, first_sound)
        self.source_sound = sound if live_sound else None
        self.engine = Engine(rungs[rungs.names[-1]], source, DEPTH, reuse_threshold=spec.reuse_threshold)
        self.fit = Fit(source)
        self.pilot = LadderPilot(self.engine, rungs, self.interval_seconds, on_step)
        if spec.model != "auto":
            self.pilot.begin_on(spec.model)
        self.broadcast = Broadcast(
            source,
            self.engine.target,
            live_sound,
            preview,
            spec,
            is_baseline=is_baseline,
        )
        self.journey = Journey(
            self.engine.slots,
            self.pilot,
            self.broadcast,
            meters,
            self.engine.target,
            latency_seconds=spec.latency_ms / 1000,
            standstill=standstill,
        )

    def _live_sound(self, source: EncodedStream | None, first_data: bytes) -> LiveSound | None:
        """None where there is none, or none that can be decoded: the picture goes on without it."""
        try:
            return LiveSound(source, first_data) if source else None
        except InputError as error:
            self.notes.append(f"without sound: {error}")
            return None

    def interval_seconds(self) -> float:
        """Between pictures of the source while they come: as measured, as soon as that is possible."""
        measured = self._meters.fps_usual
        return 1 / measured if measured > 0 else 1 / self._stated_fps

    def begin(self, targets: Sequence[Target]) -> None:
        rotation = self.engine.target.rotation
        for target in targets:
            if rotation and not target.tells_rotation:
                self.notes.append(f"{target.name} does not tell that the picture is to be turned by {rotation}°")
            self.broadcast.add(make_sink(target), raw=target.takes_raw_pictures)
        self.journey.start()

    def end(self) -> bool:
        """Whether all has ended; False where a picture takes so long that it is left behind."""
        has_ended = self.journey.stop(JOURNEY_SECONDS)
        self.broadcast.close()
        return has_ended


def live_format(source: VideoFormat) -> VideoFormat:
    """What a session carries of a source: 8 bits, in colour, which a gray one may turn to by day, and of an even
    size, which H.264 in 4:2:0 demands at any scale."""
    width, height = (max(2, side - side % 2) for side in (source.width, source.height))
    return dataclasses.replace(
        source, width=width, height=height, pix_fmt="yuv420p", gray=False, time_base=Fraction(1, 90_000)
    )
