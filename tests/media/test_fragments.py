"""Fragments for browsers: read back by FFmpeg, whoever joins when."""

from __future__ import annotations

import dataclasses
import io
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipt_stream.errors import OutputError
from lipt_stream.frame import VideoFormat
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.fragments import FragmentMuxer
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.live_sound import LiveSound

FORMAT = VideoFormat(width=160, height=96, frame_rate=Fraction(30))
TELEPHONE = EncodedStream(kind="audio", codec="pcm_alaw", time_base=Fraction(1, 8_000), sample_rate=8_000, channels=1)
OPUS = EncodedStream(kind="audio", codec="opus", time_base=Fraction(1, 48_000), sample_rate=48_000, channels=2)


def pictures(times: list[int], duration: int = 0) -> tuple[EncodedStream, list[EncodedPacket]]:
    encoder = LiveEncoder(FORMAT, encoder="libx264", keyframe_seconds=1)
    planes = FORMAT.new_planes()
    packets: list[EncodedPacket] = []
    for number, pts in enumerate(times):
        planes[0][:] = (np.arange(FORMAT.width) * 2 + number * 9) % 200 + 20
        packets += encoder.encode(planes, pts, duration)
    return encoder.stream, packets


def sound() -> tuple[EncodedStream, list[EncodedPacket]]:
    live = LiveSound(TELEPHONE)
    packets: list[EncodedPacket] = []
    for start in range(0, 16_000, 160):
        packets += live.convert(
            EncodedPacket(kind="audio", data=bytes(160), pts=start, dts=start, duration=160, is_keyframe=True)
        )
    return live.stream, packets


@settings(max_examples=15)
@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=30))
def test_each_picture_is_a_fragment_with_its_own_time(gaps: list[int]) -> None:
    times = [sum(gaps[:n]) for n in range(len(gaps))]
    stream, packets = pictures(times)
    muxer = FragmentMuxer([stream])
    fragments = [muxer.add(packet) for packet in packets]
    assert all(fragment[4:8] == b"moof" and fragment.count(b"mdat") >= 1 for fragment in fragments)
    with av.open(io.BytesIO(muxer.init + b"".join(fragments))) as seen:
        assert seen.streams.video[0].time_base == Fraction(1, 90_000)
        assert [picture.pts for picture in seen.decode(video=0)] == times


def test_who_joins_late_begins_at_a_keyframe() -> None:
    stream, packets = pictures([3000 * n for n in range(60)])
    muxer = FragmentMuxer([stream])
    fragments = [muxer.add(packet) for packet in packets]
    join = next(n for n, packet in enumerate(packets) if packet.is_keyframe and n > 0)
    with av.open(io.BytesIO(muxer.init + b"".join(fragments[join:]))) as seen:
        times = [picture.pts for picture in seen.decode(video=0)]
    assert times == [packet.pts for packet in packets[join:]]


def test_sound_beside_the_picture_keeps_its_time() -> None:
    picture_stream, picture_packets = pictures([3000 * n for n in range(60)], duration=3000)
    sound_stream, sound_packets = sound()
    muxer = FragmentMuxer([picture_stream, sound_stream])
    assert re.fullmatch(r'video/mp4; codecs="avc1\.4d40[0-9a-f]{2}, mp4a\.40\.2"', muxer.mime)
    assert sound_packets[0].pts < 0  # the encoder's priming, which a browser is not given
    assert muxer.add(sound_packets[0]) == b""
    data = muxer.init + b"".join(muxer.add(packet) for packet in [*picture_packets, *sound_packets[1:]])
    with av.open(io.BytesIO(data)) as seen:
        assert sum(1 for _ in seen.decode(video=0)) == 60
    with av.open(io.BytesIO(data)) as seen:
        times = [packet.pts for packet in seen.demux(audio=0) if packet.size]
    assert times == [packet.pts for packet in sound_packets[1:]]


def test_a_pause_is_no_part_of_the_sound_behind_it() -> None:
    picture_stream, _ = pictures([])
    muxer = FragmentMuxer([picture_stream, OPUS])
    times = [0, 26 * 3600 * 48_000]  # further apart than a sample's 32 bits can tell
    sounds = [EncodedPacket(kind="audio", data=b"\xf8", pts=at, dts=at, duration=0, is_keyframe=True) for at in times]
    data = muxer.init + b"".join(muxer.add(packet) for packet in sounds)
    with av.open(io.BytesIO(data)) as seen:
        read = [packet for packet in seen.demux(audio=0) if packet.size]
    assert [packet.pts for packet in read] == times
    assert (read[-1].duration or 0) <= 48_000


def test_mime_of_opus() -> None:
    stream, _ = pictures([])
    assert FragmentMuxer([stream, OPUS]).mime.endswith('opus"')


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (TELEPHONE, "pcm_alaw"),
        (dataclasses.replace(OPUS, codec="mp3"), "mp3"),
        (dataclasses.replace(OPUS, codec="aac"), "aac"),  # without its configuration
        (EncodedStream(kind="video", codec="hevc", time_base=Fraction(1, 90_000), width=64, height=64), "hevc"),
        (EncodedStream(kind="video", codec="h264", time_base=Fraction(1, 90_000), width=64, height=64), "h264"),
    ],
)
def test_other_codecs_are_refused_by_name(wrong: EncodedStream, word: str) -> None:
    stream, _ = pictures([])
    with pytest.raises(OutputError, match=word):
        FragmentMuxer([wrong] if wrong.kind == "video" else [stream, wrong])
