from __future__ import annotations

import io
import threading
import time
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from lipt_stream.frame import VideoFormat
from lipt_stream.media.live import LivePicture, LiveSound
from lipt_stream.media.live_address import live_address
from lipt_stream.media.synthetic import Stamp, read_stamp, stamp, stamped_index
from lipt_stream.media.test_card import TestCard


def luma(picture: av.VideoFrame) -> np.ndarray:
    return np.from_dlpack(picture.planes[0])


def test_pictures_are_stamped_and_sound_is_in_step() -> None:
    card = TestCard(live_address("test:320x180@50"), cancelled=threading.Event())
    began, items = time.time(), []
    for item in card:
        items.append(item)
        if len(items) == 60:
            break
    card.close()
    pictures = [item for item in items if isinstance(item, LivePicture)]
    sounds = [item for item in items if isinstance(item, LiveSound)]
    for n, item in enumerate(pictures):
        assert item.time_seconds == Fraction(n, 50)
        read = read_stamp(luma(item.picture), 8)
        assert read is not None
        assert (read.index, stamped_index(luma(item.picture), 8)) == (n, n)
        assert read.age_ms(began) <= 0 <= read.age_ms(time.time()), "made after the beginning and before now"
    assert all(a.arrived_seconds < b.arrived_seconds for a, b in pairwise(pictures))
    assert all(b.time_seconds - a.time_seconds == Fraction(1024, 48_000) for a, b in pairwise(sounds))
    assert abs(sounds[-1].time_seconds - pictures[-1].time_seconds) < Fraction(1, 10)
    assert not np.array_equal(luma(pictures[0].picture), luma(pictures[1].picture)), "each picture owns its samples"


def test_the_tone_is_aac_that_decodes() -> None:
    card = TestCard(live_address("test:64x64@50"), cancelled=threading.Event())
    assert card.audio is not None
    decoder = av.CodecContext.create(card.audio.codec, "r")
    decoder.extradata = card.audio.extradata
    samples: list[np.ndarray] = []
    for item in card:
        if isinstance(item, LiveSound):
            samples += [frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(item.data))]
            if len(samples) == 20:
                break
    tone = np.concatenate(samples[4:])
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(tone.size)))
    assert np.argmax(spectrum) * 48_000 / tone.size == pytest.approx(440, abs=5)


@pytest.mark.parametrize("size", [(320, 180), (640, 360), (64, 64), (426, 240)])
@pytest.mark.parametrize("bit_depth", [8, 10])
def test_stamps_are_read_as_they_were_drawn(size: tuple[int, int], bit_depth: int) -> None:
    picture = np.full((size[1], size[0]), 77, np.uint16 if bit_depth > 8 else np.uint8)
    assert read_stamp(picture, bit_depth) is None
    stamp(picture, 70_001, 1_764_000_000.123, bit_depth)
    expected = Stamp(70_001 & 0xFFFF, 1_764_000_000_123 & 0xFFFFFFFF)
    assert read_stamp(picture, bit_depth) == expected
    assert read_stamp(np.kron(picture, np.ones((3, 3), picture.dtype)), bit_depth) == expected
    assert expected.age_ms(1_764_000_000.623) == 500
    assert expected.age_ms(1_763_999_999.123) == -1000


def test_no_stamp_is_read_off_a_plain_or_blended_picture() -> None:
    first, second = np.zeros((180, 320), np.uint8), np.zeros((180, 320), np.uint8)
    for plain in (0, 16, 128, 235, 255):
        assert read_stamp(np.full((180, 320), plain, np.uint8), 8) is None
    stamp(first, 5, 1000.0, 8)
    stamp(second, 0xF00A, 2000.0, 8)
    assert read_stamp((first // 2 + second // 2).astype(np.uint8), 8) is None


def test_a_stamp_survives_a_poor_encoding_and_twice_the_size() -> None:
    format = VideoFormat(width=320, height=180)
    card = TestCard(live_address("test:320x180@100"), cancelled=threading.Event())
    film, sent = io.BytesIO(), []
    with av.open(film, "w", format="matroska") as container:
        poor = {"preset": "ultrafast", "tune": "zerolatency", "crf": "40"}
        stream = container.add_stream("libx264", rate=100, options=poor)
        stream.width, stream.height, stream.pix_fmt = format.width, format.height, "yuv420p"
        for item in card:
            if isinstance(item, LivePicture):
                sent.append(read_stamp(luma(item.picture), 8))
                item.picture.pts = None
                container.mux(stream.encode(item.picture))
                if len(sent) == 30:
                    break
        container.mux(stream.encode())
    film.seek(0)
    with av.open(film) as container:
        larger = [p.reformat(640, 360, interpolation=Interpolation.BILINEAR) for p in container.decode(video=0)]
    assert [read_stamp(luma(picture), 8) for picture in larger] == sent
