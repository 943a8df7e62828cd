"""The rungs of the ladder: every network that has weights for film at the scale, from best to fastest, and Lanczos
below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lipt_stream.engine.lanczos import LanczosUpscaler
from lipt_stream.engine.planes import ImageUpscaler
from lipt_stream.engine.slots import Engine
from lipt_stream.engine.upscaler import Upscaler, pick_device
from lipt_stream.errors import DeviceError, SettingsError
from lipt_stream.live.ladder import LONGEST_FRAME_SECONDS, Rung
from lipt_stream.live.spec import LiveSpec
from lipt_stream.model import catalog
from lipt_stream.model.cost import multiply_adds

LANCZOS: Final = "lanczos"
LADDER: Final = ("small", "tiny", "nano")
LANCZOS_COST: Final = 0.05
"""Of nano's, measured at 0.03 to 0.04: only its ratio to the networks' multiply-adds counts (benchmarks/lanczos.py)."""
HOPELESS: Final = 3.0
"""Times the interval between pictures: a network that is expected to take longer, and too long for the ladder to climb
to on a still scene, is not even warmed up."""


class Rungs:
    """Networks loaded and waiting. `names` from best to fastest."""

    def __init__(self, spec: LiveSpec, *, may_be_chosen: bool = True) -> None:
        """`may_be_chosen`: somebody can ask for another rung than `spec.model` while it runs. Else those above it would
        never be used; those below it are, where it does not fit into memory.

        Raises what Upscaler.load does."""
        self._spec = spec
        self._upscalers: dict[str, ImageUpscaler] = {}
        costs: dict[str, float] = {}
        names = _in_ladder(spec.model, spec.scale) if spec.model in ("auto", LANCZOS, *LADDER) else [spec.model]
        if spec.model in (LANCZOS, *LADDER) and not may_be_chosen:
            names = names[names.index(spec.model) :] if spec.model in names else []
        for name in names:
            upscaler = self._load(name)
            self._upscalers[name] = upscaler
            costs[name] = float(multiply_adds(upscaler.config))
        self._upscalers[LANCZOS] = LanczosUpscaler(spec.scale, pick_device(spec.device))
        costs[LANCZOS] = LANCZOS_COST * min(costs.values(), default=1.0)
        self._costs = costs

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._upscalers)

    @property
    def ladder(self) -> tuple[Rung, ...]:
        return tuple(Rung(name, cost) for name, cost in self._costs.items())

    def __getitem__(self, name: str) -> ImageUpscaler:
        return self._upscalers[name]

    def warm_up(self, engine: Engine, interval_seconds: float) -> Mapping[str, float]:
        """Compile and measure, from the fastest up, those that may hold the rate: name -> seconds a whole frame."""
        measured: dict[str, float] = {}
        for name in reversed(self.names):
            expected = min((s * self._costs[name] / self._costs[n] for n, s in measured.items()), default=0.0)
            if expected > max(HOPELESS * interval_seconds, LONGEST_FRAME_SECONDS) and name != self._spec.model:
                break
            try:
                measured[name] = engine.warm_up(self._upscalers[name])
            except DeviceError:  # too large for this memory, as are those above it, which the ladder would leave
                if not measured or name == self._spec.model:
                    raise
                break
        return measured

    def _load(self, name: str) -> Upscaler:
        spec = self._spec
        upscaler = Upscaler.load(
            name,
            device=spec.device,
            precision=spec.precision,
            runtime=spec.runtime,
            threads=spec.threads,
            scale=spec.scale,
        )
        if upscaler.scale != spec.scale:
            raise SettingsError(
                f"{name} upscales x{upscaler.scale}, not x{spec.scale}", f"Use --scale {upscaler.scale}"
            )
        return upscaler


def _in_ladder(asked: str, scale: int) -> list[str]:
    """Those of LADDER that have weights for film at this scale, and the one that is asked for, whatever it has.

    Streams come from encoders. Of these a network that learnt from clean pictures makes less than a smaller one that
    knows them, above which it would stand. SettingsError where there are no weights of the one asked for."""
    if asked in LADDER:
        catalog.find(asked, scale)
    made_for_film = {entry.model for entry in catalog.entries() if (entry.scale, entry.content) == (scale, "video")}
    return [name for name in LADDER if name == asked or name in made_for_film]
