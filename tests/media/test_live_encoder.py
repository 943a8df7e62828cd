"""Live encoding: a packet for each picture at once, headers where a late reader looks, a bounded rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np
import pytest
from av.packet import Packet
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.errors import OutputError, SettingsError
from lipt_stream.frame import Planes, VideoFormat
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.encoders import probe_encoder
from lipt_stream.media.fragments import nal_units
from lipt_stream.media.live_encoder import LIVE_ENCODERS, LiveEncoder
from lipt_stream.media.raw_pictures import RawPictures

FORMAT = VideoFormat(width=160, height=96, frame_rate=Fraction(30))
SPS, PPS = 7, 8


def picture(format: VideoFormat, number: int) -> Planes:
    planes = format.new_planes()
    planes[0][:] = (np.arange(format.width) * 2 + number * 9) % 200 + 20
    planes[1][:], planes[2][:] = 110, 140
    return planes


def encoded(encoder: LiveEncoder, times: list[int]) -> list[EncodedPacket]:
    return [packet for n, pts in enumerate(times) for packet in encoder.encode(picture(FORMAT, n), pts, 3000)]


@pytest.fixture(params=sorted(LIVE_ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    trouble = probe_encoder(request.param)
    if trouble:
        pytest.skip(f"{request.param} does not work here: {trouble}")
    return request.param


def test_each_picture_gives_its_packet_at_once_and_decodes_to_itself(name: str) -> None:
    encoder = LiveEncoder(FORMAT, encoder=name, crf=10)
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    for number in range(20):
        (packet,) = encoder.encode(picture(FORMAT, number), number * 3000, 3000)
        assert (packet.pts, packet.dts, packet.duration) == (number * 3000, number * 3000, 3000)
        seen = decoder.decode(Packet(packet.data)) or decoder.decode(None)
        assert len(seen) == 1
        difference = np.from_dlpack(seen[0].planes[0]).astype(int) - picture(FORMAT, number)[0]
        assert np.abs(difference).mean() < 3
        decoder.flush_buffers()
        encoder.force_keyframe()  # so that each decodes by itself
    assert encoder.finish() == []


@settings(max_examples=20)
@given(st.lists(st.integers(1, 200_000), min_size=1, max_size=40), st.floats(0.1, 4))
def test_times_pass_through_and_keyframes_come_by_the_clock(gaps: list[int], keyframe_seconds: float) -> None:
    encoder = LiveEncoder(FORMAT, encoder="libx264", keyframe_seconds=keyframe_seconds)
    times = [sum(gaps[:n]) for n in range(1, len(gaps) + 1)]
    packets = encoded(encoder, times)
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets] == times
    keyframes = [packet.pts for packet in packets if packet.is_keyframe]
    expected = [times[0]]
    for time in times:
        if time >= expected[-1] + keyframe_seconds * 90_000:
            expected.append(time)
    assert keyframes == expected


def test_headers_are_in_extradata_and_before_each_keyframe(name: str) -> None:
    encoder = LiveEncoder(FORMAT, encoder=name, keyframe_seconds=0.2)
    packets = encoded(encoder, [3000 * n for n in range(30)])
    assert {unit[0] & 31 for unit in nal_units(encoder.stream.extradata)} == {SPS, PPS}
    for packet in packets:
        types = {unit[0] & 31 for unit in nal_units(packet.data)}
        assert packet.is_keyframe == ({SPS, PPS} <= types)
    assert sum(packet.is_keyframe for packet in packets) == 5


def test_a_keyframe_comes_on_demand(name: str) -> None:
    encoder = LiveEncoder(FORMAT, encoder=name, keyframe_seconds=100)
    packets = encoded(encoder, [0, 3000, 6000])
    encoder.force_keyframe()
    packets += encoded(encoder, [9000, 12_000])
    assert [packet.is_keyframe for packet in packets] == [True, False, False, True, False]


def test_the_rate_is_bounded(name: str) -> None:
    bitrate = 400_000
    encoder = LiveEncoder(FORMAT, encoder=name, bitrate=bitrate)
    noise = np.random.default_rng(0)
    sizes: list[int] = []
    for number in range(90):
        planes = FORMAT.new_planes()
        planes[0][:] = noise.integers(16, 235, planes[0].shape)
        sizes += [len(packet.data) for packet in encoder.encode(planes, number * 3000)]
    assert sum(sizes) * 8 / 3 < 1.2 * bitrate


def test_profiles_a_browser_takes() -> None:
    profile = {
        is_baseline: LiveEncoder(FORMAT, encoder="libx264", is_baseline=is_baseline).stream.extradata[5:7].hex()
        for is_baseline in (False, True)
    }
    assert profile == {False: "4d40", True: "42c0"}  # Main; Constrained Baseline


def test_ten_bits_become_eight() -> None:
    deep = dataclasses.replace(FORMAT, pix_fmt="yuv420p10le")
    encoder = LiveEncoder(deep, encoder="libx264", crf=4)
    planes = deep.new_planes()
    for plane, level in zip(planes, (400, 512, 512), strict=True):
        plane[:] = level
    (packet,) = encoder.encode(planes, 0)
    decoder = av.CodecContext.create("h264", "r")
    seen = decoder.decode(Packet(packet.data)) + decoder.decode(None)
    assert abs(int(np.from_dlpack(seen[0].planes[0]).mean()) - 100) <= 1


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"encoder": "libx265"}, SettingsError),
        ({"crf": 99}, SettingsError),
        ({"format": dataclasses.replace(FORMAT, width=161)}, OutputError),
    ],
)
def test_what_cannot_be_is_refused_at_once(changes: Mapping[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        LiveEncoder(**{"format": FORMAT, "encoder": "libx264", **changes})


def test_raw_pictures_hold_the_planes() -> None:
    planes = picture(FORMAT, 1)
    (packet,) = RawPictures(FORMAT).encode(planes, 7, 3)
    assert packet.data == b"".join(plane.tobytes() for plane in planes)
    assert (packet.pts, packet.duration, packet.is_keyframe) == (7, 3, True)
