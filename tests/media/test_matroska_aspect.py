"""The display aspect goes in, and nothing else of the file changes for another reader."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.media.matroska_aspect import MUXER_OPTIONS, write_display_aspect


def write_film(path: Path, codec: str, rich: bool) -> None:
    with av.open(str(path), "w", container_options=dict(MUXER_OPTIONS)) as container:
        stream = container.add_stream(codec, 25, options={"g": "5"})
        stream.width, stream.height = 64, 48
        if rich:
            sound = container.add_stream("aac", 48_000, layout="mono")
            container.add_attachment("font.ttf", "font/ttf", bytes(range(256)) * 300)
            container.metadata["title"] = "Flower"
            unit = Fraction(1, 1000)
            container.set_chapters([{"id": 1, "start": 0, "end": 500, "time_base": unit, "metadata": {"title": "bud"}}])
        for n in range(40):
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                np.frombuffer(plane, np.uint8)[:] = 5 * n
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(picture))
            if rich:
                wave = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                wave.sample_rate, wave.pts = 48_000, 1024 * n
                container.mux(sound.encode(wave))
        container.mux(stream.encode(None))


def contents(path: Path) -> tuple[list[object], list[object]]:
    with av.open(str(path)) as container:
        about = [
            container.metadata,
            container.chapters(),
            [bytes(s.data) for s in container.streams if s.type == "attachment"],
            [(s.type, s.start_time, s.time_base, s.metadata) for s in container.streams],
        ]
        packets = [(p.stream_index, p.pts, p.dts, p.duration, bytes(p)) for p in container.demux() if p.size]
    return about, packets


def picture_after_seek(path: Path, seconds: float) -> Fraction:
    with av.open(str(path)) as container:
        container.seek(int(seconds * av.time_base))
        frame = next(container.decode(video=0))
        assert frame.pts is not None
        return frame.pts * frame.time_base


@pytest.mark.parametrize(("suffix", "rich"), [(".mkv", False), (".mkv", True), (".webm", False)])
def test_only_the_aspect_changes(tmp_path: Path, suffix: str, rich: bool) -> None:
    codec = "ffv1" if suffix == ".mkv" else "libvpx"
    path, twin = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_film(path, codec, rich)
    twin.write_bytes(path.read_bytes())
    assert write_display_aspect(path, Fraction(64, 48) * Fraction(16, 15))
    assert path.stat().st_size == twin.stat().st_size
    assert contents(path) == contents(twin)
    assert picture_after_seek(path, 1.1) == picture_after_seek(twin, 1.1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 15)
    assert write_display_aspect(path, Fraction(64, 48) * Fraction(64, 45)), "and again"
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(64, 45)
    assert contents(path) == contents(twin)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 600), at=st.integers(0, 600))
def test_what_is_no_such_file_is_left_alone(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int, at: int
) -> None:
    """Nor does damage raise; a file that is cut within its head is not touched."""
    path = tmp_path_factory.mktemp("odd") / "a.mkv"
    path.write_bytes(data)
    assert not write_display_aspect(path, Fraction(16, 9))
    assert path.read_bytes() == data
    write_film(path, "ffv1", rich=False)
    whole = path.read_bytes()
    damaged = bytearray(whole[:cut])
    damaged[at : at + len(data)] = data[: max(0, cut - at)]
    path.write_bytes(damaged)
    write_display_aspect(path, Fraction(16, 9))
    assert path.stat().st_size == len(damaged)
