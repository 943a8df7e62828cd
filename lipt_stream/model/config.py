"""The shape of a LIPT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Scale: TypeAlias = Literal[1, 2, 3, 4]

NAMES: Final = ("nano", "tiny", "tiny24", "small", "base")
MAX_WINDOW: Final = 64
"""Four times the largest that is in use. Tensors do not tell a window, pictures are padded to multiples of it, and each
one's attention maps are the fourth power of it in numbers: a wrong one takes all memory."""


@dataclass(frozen=True, slots=True)
class LiptConfig:
    """The shape of a LIPT. Raises ValueError where the fields make no network.

    `channels` is even (attention halves it), `units` a multiple of `1 + shared`, `window` an even number of pixels,
    at most MAX_WINDOW.

    The last two tell in which way the sparse half of attention works; false is the paper's implementation, and what
    each is worth docs/training.md says. `scattered`: its result goes back to the pixels that were sampled, instead of
    becoming a dense window. `sampled_values`: shared units sample their values as the first unit did its own.
    """

    scale: Scale
    channels: int
    units: int
    shared: int
    window: int
    scattered: bool = False
    sampled_values: bool = False

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 3, 4):
            raise ValueError(f"scale must be 1, 2, 3 or 4, not {self.scale}")
        if self.channels < 2 or self.channels % 2:
            raise ValueError(f"channels must be even and positive, not {self.channels}")
        if self.shared < 0:
            raise ValueError(f"shared must not be negative, and is {self.shared}")
        if self.units < 1 or self.units % (1 + self.shared):
            raise ValueError(f"units ({self.units}) must be a positive multiple of 1 + shared ({1 + self.shared})")
        if not 2 <= self.window <= MAX_WINDOW or self.window % 2:
            raise ValueError(f"window must be even and from 2 to {MAX_WINDOW}, not {self.window}")

    @classmethod
    def named(cls, name: str, scale: Scale) -> LiptConfig:
        """One of NAMES. `small` has 10 units at x1 and x2 and 12 at x3 and x4, as the paper's table implies.

        nano is this project's, for CPUs; tiny and small are the paper's; tiny24 and base are the configurations in
        its repository. ValueError where the name is none of NAMES.
        """
        match name:
            case "nano":
                return cls(scale, channels=16, units=2, shared=1, window=8)
            case "tiny":
                return cls(scale, channels=32, units=6, shared=1, window=8)
            case "tiny24":
                return cls(scale, channels=24, units=8, shared=1, window=8)
            case "small":
                return cls(scale, channels=64, units=10 if scale <= 2 else 12, shared=1, window=8)
            case "base":
                return cls(scale, channels=144, units=22, shared=0, window=16)
            case _:
                raise ValueError(f"no network is named {name!r}: known are {', '.join(NAMES)}")

    @property
    def blocks(self) -> int:
        return self.units // (1 + self.shared)

    @property
    def receptive_field(self) -> tuple[int, int]:
        """How far an output pixel can reach in the input: pixels (left or top, right or bottom), wrap-around excluded.

        A bound that holds for every pixel. A unit's six 3x3 convolutions reach 6 pixels. Windows reach p - 1. Sampled
        values come from up to p pixels further to the right and below: in a block's first unit, in shared ones only
        with `sampled_values` (the maps that they use again were made from shallower, nearer features). A result that
        is scattered goes up to p pixels further to the right and below, so reaches as far to the left and above.
        """
        p = self.window
        ends = 2  # head and tail
        dense = ends + self.units * (6 + p - 1)
        left = dense + p * self.units * self.scattered
        right = dense + p * (self.units if self.sampled_values else self.blocks)
        return left, right
