"""Dark and pale scenes, which are near to black or gray anyway: a picture that is lost there is missed all the same."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.verify.audit import verify

COUNT = 12


def written(path: Path, pictures: list[av.VideoFrame], blank: tuple[int, ...] = (), level: int = 16) -> Path:
    """Of luma alone, those numbered `blank` flat."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "crf": "14"}
        for number, picture in enumerate(pictures):
            luma = np.frombuffer(picture.planes[0], np.uint8).reshape(-1, picture.planes[0].line_size)
            planes = np.full((stream.height * 3 // 2, stream.width), 128, np.uint8)
            planes[: stream.height] = level if number in blank else luma[:, : stream.width]
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def scene(clip: Path, contrast: float, base: float) -> list[av.VideoFrame]:
    with av.open(str(clip)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(COUNT), strict=False)]
    pictures: list[av.VideoFrame] = []
    for frame in frames:
        gray = frame.reformat(160, 90, "gray").to_ndarray()
        planes = np.full((135, 160), 128, np.uint8)
        planes[:90] = np.rint(base + contrast * gray)
        pictures.append(av.VideoFrame.from_ndarray(planes, format="yuv420p"))
    return pictures


@pytest.mark.parametrize(("contrast", "base", "blank"), [(0.15, 16, 16), (0.15, 110, 122)], ids=["night", "fog"])
def test_a_blank_picture(clip: Path, tmp_path: Path, contrast: float, base: float, blank: int) -> None:
    pictures = scene(clip, contrast, base)
    source = written(tmp_path / "source.mkv", pictures)
    assert verify(source, written(tmp_path / "good.mkv", pictures)).ok
    result = written(tmp_path / "result.mkv", pictures, (5, 6), blank)
    failed = {check.name: check.detail for check in verify(source, result).failed}
    assert "pictures 5-6 show nothing that is near them" in failed["likeness"]
