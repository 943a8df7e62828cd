"""Every film of the shared collection through FileSource: as many pictures as a plain PyAV loop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest

from lipt_stream.errors import InputError
from lipt_stream.frame import END, Frame
from lipt_stream.media.file_source import FileSource

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "video"
FILMS = sorted(p for folder in ("clips", "torture") for p in (SHARED / folder).glob("*")) or [SHARED / "missing"]
LIMIT = 40  # pictures per film: the damaged ones are damaged before or are that short; see the sources' list


def plain_count(path: Path) -> int:
    """Pictures that demuxing and decoding packet by packet gives, damage skipped."""
    count = 0
    try:
        with av.open(str(path), metadata_errors="surrogateescape") as container:
            for packet in container.demux(container.streams.video[0]):
                try:
                    count += len(packet.decode())
                except av.FFmpegError:
                    continue
                if count >= LIMIT:
                    return LIMIT
    except (av.FFmpegError, IndexError):
        return count
    return count


@pytest.mark.parametrize("path", FILMS, ids=lambda path: path.name)
def test_as_many_pictures_as_a_plain_loop(path: Path, shared: Path) -> None:
    assert shared.is_dir()
    expected = plain_count(path)
    if expected == 0:
        with pytest.raises(InputError) as refusal:
            FileSource(path)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)
        return
    source = FileSource(path)
    planes = source.format.new_planes()
    times: list[int] = []
    while len(times) < LIMIT and (frame := source.read(planes)) is not END:
        assert isinstance(frame, Frame)
        times.append(frame.pts)
    source.close()
    assert len(times) == expected
    assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize(
    "name", ["corrupted_after_28_frames.mp4", "SYN_truncated_half.mp4", "SYN_truncated_flower_60pct.mp4"]
)
def test_damaged_films_to_their_very_end(name: str, shared: Path) -> None:
    path = shared / "data/video/torture" / name
    with av.open(str(path)) as container:
        expected = 0
        for packet in container.demux(container.streams.video[0]):
            try:
                expected += len(packet.decode())
            except av.FFmpegError:
                continue
    source = FileSource(path)
    planes = source.format.new_planes()
    count = 0
    while source.read(planes) is not END:
        count += 1
    source.close()
    assert count == expected
    assert source.frames_concealed or any("could be read" in note for note in source.notes)
