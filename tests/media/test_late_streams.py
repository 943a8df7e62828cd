"""Streams of a program stream that begin behind all that FFmpeg probes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.container import InputContainer
from av.stream import Stream

from lipt_stream.media import copy_plan, late_streams
from lipt_stream.media.containers import packets_of
from lipt_stream.verify.audit import verify
from tests.film import through
from tests.media.test_subtitle_pictures import shown, vobsub

SUBTITLES = [(0.48, vobsub(0.1)), (0.56, vobsub(0.1))]


@pytest.fixture
def disc(tmp_path: Path) -> Path:
    """A DVD's file whose subtitles begin 6 MB behind its first picture, which is noise."""
    film = tmp_path / "film.vob"
    noise = np.random.default_rng(0).integers(0, 256, (576, 704, 3), np.uint8)
    with av.open(str(film), "w") as container:
        video = container.add_stream("mpeg2video", 25, options={"qmin": "1", "qmax": "1", "g": "1"})
        video.width, video.height, video.pix_fmt = 704, 576, "yuv420p"
        track = container.add_mux_stream("dvd_subtitle")
        track.time_base = Fraction(1, 90_000)
        left = list(SUBTITLES)
        for number in range(24):
            if left and left[0][0] <= number / 25:
                begin, payload = left.pop(0)
                packet = av.Packet(payload)
                packet.pts = packet.dts = round(begin * 90_000)
                packet.time_base, packet.stream = Fraction(1, 90_000), track
                container.mux(packet)
            picture = av.VideoFrame.from_ndarray(noise, format="rgb24")
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video"], "FFmpeg alone does not find them"
    return film


def test_subtitles_that_begin_late_are_carried_over(disc: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.mkv"
    assert not [note for note in through(disc, result) if "left out" in note]
    assert shown(result) == SUBTITLES
    assert verify(disc, result, scale=1).ok


def test_a_stream_met_behind_all_is_no_error() -> None:
    """FFmpeg knows of it then, PyAV's list does not."""

    class Container:
        def demux(self, *streams: str) -> Iterator[str]:
            yield from streams
            raise IndexError("list index out of range")

    assert list(packets_of(cast("InputContainer", Container()), cast("list[Stream]", ["picture", "sound"]))) == [
        "picture", "sound",
    ]  # fmt: skip


def test_those_that_begin_too_late_are_told(disc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (late_streams, copy_plan):
        monkeypatch.setattr(module, "MOST_PROBED", 2**20)
    notes = through(disc, tmp_path / "result.mkv")
    assert any("a track of subtitles, which begins more than 1 MB into the film, is left out" in note for note in notes)
