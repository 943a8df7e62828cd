"""Short films for the media tests."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import END, Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.encoders import EncoderChoice
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.synthetic import SyntheticSource

SMALL = VideoFormat(width=128, height=96, frame_rate=Fraction(25), time_base=Fraction(1, 90_000))
WriteFilm = Callable[..., FileSink]


@pytest.fixture
def write_film(tmp_path: Path) -> WriteFilm:
    """Writes the test pattern to `name` and closes the sink, which it returns for its notes."""

    def write(
        name: str,
        format: VideoFormat = SMALL,
        *,
        pts: list[int] | None = None,
        encoder: EncoderChoice | None = None,
        copy_from: Path | None = None,
        side_data: dict[str, bytes] | None = None,
        start_seconds: float | None = None,
        end_seconds: float | None = None,
    ) -> FileSink:
        choice = encoder or choose_encoder("libx264", bit_depth=format.bit_depth, options={"preset": "ultrafast"})
        sink = FileSink(
            tmp_path / name,
            format,
            encoder=choice,
            copy_from=copy_from,
            start_seconds=start_seconds,
            end_seconds=end_seconds,
        )
        times = pts if pts is not None else [3600 * n for n in range(10)]
        source, planes = SyntheticSource(format, len(times)), format.new_planes()
        for time in times:
            frame = source.read(planes)
            assert frame is not END
            assert isinstance(frame, Frame)
            frame.pts, frame.duration, frame.side_data = time, 3600, dict(side_data or {})
            sink.write(frame)
        sink.close()
        return sink

    return write
