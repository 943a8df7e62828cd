"""What a session must know of the sink that a browser watches: more than of others, because it encodes for it alone."""

from __future__ import annotations

from typing import Protocol

from lipt_stream.live.composition import Composition
from lipt_stream.live.sink import LiveSink


class PreviewSink(LiveSink, Protocol):
    """A sink whose pictures are composed of both sides and encoded only while someone watches."""

    composition: Composition | None
    """What its pictures are made of. Set before `open`."""

    @property
    def wanted(self) -> bool:
        """Whether anyone watches. If not, nothing need be composed, encoded or offered."""
        ...

    @property
    def wants_keyframe(self) -> bool:
        """Whether the next picture should be a keyframe: someone has come, or fell behind and is back."""
        ...
