"""A live source's sound: passed on, freed of headers, or encoded again in step with its clock."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.packet import Packet

from lipt_stream.errors import InputError
from lipt_stream.media.encoded import EncodedPacket, EncodedStream
from lipt_stream.media.live_sound import LiveSound

STEP = 160  # samples in a packet of a telephone's, 20 ms


def stream(codec: str, rate: int = 8_000, channels: int = 1, extradata: bytes = b"") -> EncodedStream:
    return EncodedStream(
        kind="audio",
        codec=codec,
        time_base=Fraction(1, rate),
        extradata=extradata,
        sample_rate=rate,
        channels=channels,
    )


def packet(data: bytes, pts: int) -> EncodedPacket:
    return EncodedPacket(kind="audio", data=data, pts=pts, dts=pts, duration=0, is_keyframe=True)


def clicks(codec: str, at_samples: list[int], starts: list[int]) -> list[EncodedPacket]:
    """Packets that begin at `starts`, silent but for a burst at each of `at_samples`."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, "mono", "s16"
    packets: list[EncodedPacket] = []
    for start in starts:
        samples = np.zeros((1, STEP), np.int16)
        for at in at_samples:
            if start <= at < start + STEP:
                samples[0, at - start : at - start + 40] = 20_000 * (-1) ** np.arange(
                    len(samples[0, at - start :][:40])
                )
        frame = AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = 8_000
        packets += [packet(bytes(coded), start) for coded in encoder.encode(frame)]
    return packets


@pytest.mark.parametrize("codec", ["pcm_alaw", "pcm_mulaw"])
def test_a_telephones_sound_becomes_aac_in_step_across_a_gap(codec: str) -> None:
    starts = [*range(0, 8_000, STEP), *range(16_000, 24_000, STEP)]  # a second is missing
    live = LiveSound(stream(codec))
    converted = [one for raw in clicks(codec, [4_000, 20_000], starts) for one in live.convert(raw)]
    assert (live.stream.codec, live.stream.sample_rate, live.stream.channels) == ("aac", 48_000, 1)
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = live.stream.extradata
    loudest: list[tuple[float, float]] = []
    for one in converted:
        coded = Packet(one.data)
        coded.pts, coded.time_base = one.pts, live.stream.time_base
        for frame in decoder.decode(coded):
            levels = np.abs(frame.to_ndarray()[0])
            loudest.append((float(levels.max()), frame.pts / 48_000 + int(levels.argmax()) / 48_000))
    heard = sorted(time for level, time in loudest if level > 0.3)
    assert min(abs(time - 0.5) for time in heard) < 0.04
    assert min(abs(time - 2.5) for time in heard) < 0.04
    assert all(min(abs(time - 0.5), abs(time - 2.5)) < 0.06 for time in heard)
    assert live.lost_packets == 0


def test_aac_with_headers_of_its_own_loses_them(clip: Path) -> None:
    buffer = io.BytesIO()
    with av.open(str(clip)) as film, av.open(buffer, "w", format="adts") as plain:
        source = film.streams.audio[0]
        target = plain.add_stream_from_template(source)
        expected: list[bytes] = []
        for one in film.demux(source):
            if one.size:
                expected.append(bytes(one))
                one.stream = target
                plain.mux(one)
        rate, channels = source.codec_context.sample_rate, source.codec_context.channels
        configuration = bytes(source.codec_context.extradata)
    buffer.seek(0)
    with av.open(buffer, format="aac") as adts:
        raw = [bytes(one) for one in adts.demux(audio=0) if one.size]
    assert raw[0][0] == 0xFF
    live = LiveSound(stream("aac", rate, channels), raw[0])
    assert live.stream.extradata[:2] == configuration[:2]
    assert [one.data for n, data in enumerate(raw) for one in live.convert(packet(data, n * 1024))] == expected
    other_rate = bytes([*raw[0][:2], raw[0][2] ^ 0x04, *raw[0][3:]])
    damaged = [b"", raw[0][:1], raw[0][:6], b"\0" + raw[0][1:], other_rate]
    assert [one for data in damaged for one in live.convert(packet(data, 0))] == []
    assert live.lost_packets == len(damaged)


def test_what_sinks_take_passes_as_it_is() -> None:
    for given in (stream("opus", 48_000, 2), stream("aac", 48_000, 2, b"\x11\x90")):
        live = LiveSound(given)
        one = packet(b"abc", 5)
        assert live.stream is given
        assert live.convert(one) == [one]


def adts(layout: str) -> list[bytes]:
    """A second of silence, each packet with a header of its own, as in MPEG-TS."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="adts") as container:
        target = container.add_stream("aac", rate=48_000, layout=layout)
        channels = target.codec_context.layout.nb_channels
        for _ in range(47):
            frame = AudioFrame.from_ndarray(np.zeros((channels, 1024), np.float32), "fltp", layout)
            frame.sample_rate = 48_000
            container.mux(target.encode(frame))
        container.mux(target.encode(None))
    buffer.seek(0)
    with av.open(buffer, format="aac") as container:
        return [bytes(one) for one in container.demux(audio=0) if one.size]


def test_sound_that_began_after_ffmpeg_had_looked_is_made_anew() -> None:
    """Nothing is known of it but its codec: with 0 Hz and no channel every container would refuse it."""
    raw = adts("stereo")
    unknown = dataclasses.replace(stream("aac"), time_base=Fraction(1, 90_000), sample_rate=0, channels=0)
    live = LiveSound(unknown, raw[0])
    assert (live.stream.sample_rate, live.stream.channels) == (48_000, 2)
    converted = [one for n, data in enumerate(raw) for one in live.convert(packet(data, n * 1920))]
    assert live.lost_packets == 0
    assert converted[-1].pts / 48_000 == pytest.approx(1, abs=0.1)


def test_sound_of_more_channels_than_at_first_is_told_and_counted() -> None:
    stereo, surround = adts("stereo"), adts("5.1")
    live = LiveSound(stream("aac", 48_000, 2), stereo[0])
    assert live.convert(packet(stereo[1], 0))
    assert not live.convert(packet(b"\xff" + stereo[2][5:], 0))
    assert not live.has_changed, "damage alone"
    assert not live.convert(packet(surround[1], 0))
    assert live.has_changed
    assert live.lost_packets == 2


@pytest.mark.parametrize(
    ("changes", "is_like"),
    [
        ({}, True),
        ({"sample_rate": 0, "channels": 0, "time_base": Fraction(1, 90_000)}, True),
        ({"channels": 1}, False),
        ({"sample_rate": 44_100}, False),
        ({"codec": "mp3"}, False),
        ({"codec": "mp3", "sample_rate": 0, "channels": 0}, False),
        ({"extradata": b"x"}, False),
    ],
)
def test_what_is_not_known_of_sound_makes_it_no_other(changes: dict[str, Any], is_like: bool) -> None:
    first = stream("aac", 48_000, 2)
    again = dataclasses.replace(first, **changes)
    assert first.is_like(again) == again.is_like(first) == is_like


def test_times_are_counted_in_another_base() -> None:
    one = dataclasses.replace(packet(b"a", 48_000), duration=1024)
    moved = one.rescaled(Fraction(1, 48_000), Fraction(1, 90_000))
    assert (moved.pts, moved.dts, moved.duration) == (90_000, 90_000, 1920)
    assert one.rescaled(Fraction(1, 48_000), Fraction(1, 48_000)) is one


def test_damaged_sound_is_counted() -> None:
    live = LiveSound(stream("mp3", 44_100, 2))
    assert live.convert(packet(bytes(50), 0)) == []
    assert live.lost_packets == 1


def mp3(rate: int, layout: str, first_pts: int) -> list[EncodedPacket]:
    """A second of a tone, timed in 1/44100 s."""
    encoder = av.CodecContext.create("libmp3lame", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate, layout, "s16p"
    channels = 1 if layout == "mono" else 2
    packets: list[EncodedPacket] = []
    for start in range(0, rate, 1152):
        wave = (9_000 * np.sin((np.arange(1152) + start) * 2 * np.pi * 440 / rate)).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.tile(wave, (channels, 1)), "s16p", layout)
        frame.sample_rate = rate
        packets += [packet(bytes(coded), 0) for coded in encoder.encode(frame)]
    step = 1152 * 44_100 / rate
    return [packet(one.data, first_pts + round(n * step)) for n, one in enumerate(packets)]


def test_sound_that_changes_its_rate_and_layout_goes_on() -> None:
    live = LiveSound(stream("mp3", 44_100, 2))
    raw = [*mp3(44_100, "stereo", 0), *mp3(48_000, "mono", 44_100), *mp3(44_100, "stereo", 88_200)]
    converted = [one for given in raw for one in live.convert(given)]
    assert live.lost_packets == 0
    times = [one.pts / 48_000 for one in converted]
    assert times == sorted(set(times))
    assert times[-1] > 2.8
    assert max(b - a for a, b in pairwise(times)) < 0.2


def test_an_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="nonesuch"):
        LiveSound(stream("nonesuch"))


def test_packets_that_overlap_give_sound_in_order() -> None:
    """Of 40 ms each, the second burst placed 30 ms into the first one's last packet, as after a reconnection."""
    step = 320
    starts = [*range(0, 20 * step, step), *range(20 * step - 240, 40 * step, step)]
    live = LiveSound(stream("pcm_alaw"))
    encoder = av.CodecContext.create("pcm_alaw", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8_000, "mono", "s16"
    encoder.open()
    converted = []
    for start in starts:
        frame = AudioFrame.from_ndarray(np.zeros((1, step), np.int16), "s16", "mono")
        frame.sample_rate = 8_000
        converted += [one for coded in encoder.encode(frame) for one in live.convert(packet(bytes(coded), start))]
    times = [one.pts for one in converted]
    assert times == sorted(set(times))
    assert len(times) > 60
