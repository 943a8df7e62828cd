"""The audit tells of cover pictures and of further video tracks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec import CodecContext
from av.video.frame import VideoFrame

from lipt_stream.verify.audit import verify
from tests.verify.audited_film import MILLISECOND, copied, failures, through_the_sink


def with_stills(clip: Path, path: Path, covers: Sequence[bytes], videos: int = 1) -> Path:
    """The clip's beginning in Matroska, with these JPEGs attached, and its picture so many times."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        tracks = [target.add_stream_from_template(source.streams.video[0]) for _ in range(videos)]
        for number, data in enumerate(covers):
            target.add_attachment(f"cover{number}.jpg", "image/jpeg", data)
        packets = itertools.islice(source.demux(video=0), 10)
        for packet, track in itertools.product([packet for packet in packets if packet.size], tracks):
            target.mux_one(copied(packet, track, 0))
    return path


def jpeg(gray: int) -> bytes:
    encoder = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", MILLISECOND
    picture = VideoFrame.from_ndarray(np.full((16, 16, 3), gray, np.uint8)).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def test_a_cover_that_is_lost_or_another_one_is_found(clip: Path, tmp_path: Path) -> None:
    dark, light = jpeg(30), jpeg(200)
    source = with_stills(clip, tmp_path / "source.mkv", [dark, light])
    for covers, words in (
        ([light, dark], None),
        ([dark], "1 of 2 lost"),
        ([], "2 of 2 lost"),
        ([dark, jpeg(100)], "1 of 2 changed"),
        ([dark, light, jpeg(100)], "1 of 3 not in the source"),
    ):
        found = failures(verify(source, with_stills(clip, tmp_path / "result.mkv", covers)))
        assert found == ({} if words is None else {"cover pictures": words})


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cover_goes_through_our_sink_unchanged(clip: Path, tmp_path: Path, suffix: str) -> None:
    source, result = with_stills(clip, tmp_path / "source.mkv", [jpeg(30)]), tmp_path / f"large{suffix}"
    through_the_sink(source, result)
    verification = verify(source, result)
    assert failures(verification) == {}
    assert ("cover pictures", "1", "1") in {(check.name, check.source, check.result) for check in verification.checks}


def test_a_second_video_track_that_is_lost_is_told(clip: Path, tmp_path: Path) -> None:
    source = with_stills(clip, tmp_path / "source.mkv", [], videos=3)
    for videos, words in ((3, None), (1, "2 lost: only the first is upscaled"), (4, "1 that the source lacks")):
        found = failures(verify(source, with_stills(clip, tmp_path / "result.mkv", [], videos)))
        assert found == ({} if words is None else {"video tracks": words})
