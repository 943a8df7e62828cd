"""A film goes in and the same film comes out: as many pictures, at the same times."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.same_film import through, times

LIMIT = 60  # pictures of each real film


def assert_same_times(source: Path, target: Path, tolerance: Fraction, limit: int | None = None) -> None:
    before, after = times(source, limit), times(target)
    assert len(after) == len(before)
    assert all(a is not None and b is not None and a < b for a, b in pairwise(after))
    early = max(Fraction(0), -(before[0] or Fraction(0)))  # a film that begins before zero is moved to zero
    for was, now in zip(before, after, strict=True):
        if was is not None and now is not None:
            assert abs(was + early - now) <= tolerance


def encode(path: Path, pts: list[int], *, unit: Fraction = Fraction(1, 90_000), options: dict[str, str] | None = None):
    """A film with B-frames whose luma tells the index."""
    container_options = (options or {}).copy()
    with av.open(str(path), "w", container_options=container_options) as container:
        codec = "mpeg4" if path.suffix == ".avi" else "libx264"
        stream = container.add_stream(codec, 25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = unit
        for index, moment in enumerate(pts):
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                np.frombuffer(plane, np.uint8)[:] = 16 + 3 * index
            picture.pts, picture.time_base = moment, unit
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


STEADY = [3600 * n for n in range(40)]
ODD_FILMS = {
    "offset.ts": ([90_000 + t for t in STEADY], {}),
    "packed_b_frames.avi": (STEADY, {}),
    "raw.h264": (STEADY, {}),
    "edit_list.mp4": (STEADY, {"movflags": "+faststart"}),
    "no_edit_list.mp4": (STEADY, {"use_editlist": "0"}),
    "negative_cts.mov": (STEADY, {"movflags": "negative_cts_offsets"}),
    "fragments.mp4": (STEADY, {"movflags": "frag_keyframe+empty_moov"}),
    "late.mkv": ([450_000 + t for t in STEADY], {}),
    "wild.mkv": ([0, 90, 9000, 9090, 90_000, 91_000, 180_000, 450_000, 450_090], {}),
    "wild.mp4": ([77, 190, 9000, 9101, 90_000, 91_000, 180_000, 450_000, 450_090], {}),
    "single.mp4": ([0], {}),
    "two.mkv": ([0, 3600], {}),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", ODD_FILMS)
def test_odd_timelines(tmp_path: Path, name: str, suffix: str) -> None:
    pts, options = ODD_FILMS[name]
    unit = Fraction(1, 25) if name.endswith(".avi") else Fraction(1, 90_000)
    encode(tmp_path / name, [t // 3600 for t in pts] if name.endswith(".avi") else pts, unit=unit, options=options)
    through(tmp_path / name, tmp_path / f"out{suffix}")
    assert len(times(tmp_path / f"out{suffix}")) == len(pts)
    assert_same_times(
        tmp_path / name, tmp_path / f"out{suffix}", Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)
    )


def test_an_edit_that_begins_inside_the_film(tmp_path: Path) -> None:
    """A cut without re-encoding leaves pictures that are decoded and not shown; the players' loop is ours."""
    encode(tmp_path / "film.mkv", STEADY)
    with av.open(str(tmp_path / "film.mkv")) as source, av.open(str(tmp_path / "cut.mp4"), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts -= 400  # milliseconds
                packet.dts = None if packet.dts is None else packet.dts - 400
                packet.stream = copied
                target.mux(packet)
    assert 0 < len(times(tmp_path / "cut.mp4")) < len(STEADY)
    through(tmp_path / "cut.mp4", tmp_path / "out.mp4")
    assert_same_times(tmp_path / "cut.mp4", tmp_path / "out.mp4", Fraction(0))


REAL = [
    *("clips/cctv_cars_768x432_30s.mp4", "clips/talking_head_selfie_1024x768.mp4", "clips/sintel_854x480_5s.mp4"),
    *("torture/" + name for name in ("SYN_vfr_random_pts.mkv", "vfr_128x128_yuv444.mp4", "flv_10bit.flv")),
    *("torture/" + name for name in ("mpeg1_640x480.mpg", "h264_raw_annexb_720p.264", "theora_59.94fps.ogv")),
    *("torture/" + name for name in ("no_duration.webm", "SYN_gif.gif", "empty_second_video_track.mp4")),
    *("torture/" + name for name in ("subs_srt.mkv", "fragmented_flower.mp4", "SYN_240fps.mp4", "SYN_1fps.mp4")),
]


@pytest.mark.parametrize("name", REAL)
def test_real_films(shared: Path, tmp_path: Path, name: str) -> None:
    path = shared / "data/video" / name
    through(path, tmp_path / "out.mp4", limit=LIMIT)
    assert_same_times(path, tmp_path / "out.mp4", Fraction(0), LIMIT)
