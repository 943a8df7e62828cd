"""The newest picture before and after, as RGB for people: what the page's snapshot saves."""

from __future__ import annotations

from lipt_stream.engine.rgb_pictures import RgbPictures
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.live.control import Stills


def as_stills(source: Planes, result: Planes, source_format: VideoFormat, target_format: VideoFormat) -> Stills:
    """Planes of both formats, of one moment, as RGB."""
    scale = target_format.height // source_format.height
    return Stills(RgbPictures(source_format)(source), RgbPictures(target_format)(result), scale)
