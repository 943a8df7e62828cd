"""Files that FFmpeg stumbles over again and again: reading goes on as long as it makes way, and its end is told."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.film import flat_picture, through

SECONDS = 10
TO_BE_SPOILT = b"?"


def pictures(stream: av.VideoStream, apart: int) -> list[av.Packet]:
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    packets = []
    for number in range(0, 25 * SECONDS, apart):
        packets += stream.encode(flat_picture(number))
    return [*packets, *stream.encode(None)]


def sound(stream: av.AudioStream, spoilt: range) -> list[av.Packet]:
    packets = []
    for number in range(25 * SECONDS):
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), "s16", "mono")
        block.sample_rate, block.pts, block.time_base = 48_000, 1920 * number, Fraction(1, 48_000)
        packets += stream.encode(block)
    packets += stream.encode(None)
    for place in spoilt:
        whole, packets[place] = packets[place], av.Packet(TO_BE_SPOILT)
        packets[place].pts, packets[place].dts, packets[place].duration = whole.pts, whole.dts, whole.duration
        packets[place].time_base, packets[place].stream = whole.time_base, stream
    return packets


def write(path: Path, spoilt: range, frames_apart: int = 1) -> None:
    """Each packet in an Ogg page of its own, at which FFmpeg's reader errs where an Opus packet is empty."""
    with av.open(str(path), "w", options={"page_duration": "1"}) as container:
        picture = container.add_stream("libvpx", 25)
        track = container.add_stream("libopus", 48_000, layout="mono")
        packets = pictures(picture, frames_apart) + sound(track, spoilt)
        for packet in sorted(packets, key=lambda each: each.dts * each.time_base):
            container.mux_one(packet)
    path.write_bytes(b"".join(map(emptied, pages(path.read_bytes()))))


def pages(content: bytes) -> Iterator[bytes]:
    """RFC 3533: 26 bytes, the number of segments, the length of each, and what is in them."""
    while content:
        head = 27 + content[26]
        size = head + sum(content[27:head])
        yield content[:size]
        content = content[size:]


def emptied(page: bytes) -> bytes:
    if not page.endswith(b"\x01\x01" + TO_BE_SPOILT):
        return page
    blank = page[:22] + bytes(4) + b"\x01\x00"
    checksum = 0
    for byte in blank:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1) ^ (0x1_04C1_1DB7 if checksum >> 31 else 0)
    return blank[:22] + checksum.to_bytes(4, "little") + blank[26:]


def test_many_errors_far_apart_do_not_end_the_sound(tmp_path: Path) -> None:
    write(tmp_path / "film.ogg", range(30, 470, 2))
    notes = through(tmp_path / "film.ogg", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]
    assert times[-1] > SECONDS - 0.2
    assert sum("the copied streams are damaged in places" in note for note in notes) == 1
    assert not [note for note in notes if "no further" in note]


def test_where_reading_makes_no_way_any_more_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / "film.ogg", range(210, 390), frames_apart=100)
    notes = through(tmp_path / "film.ogg", tmp_path / "out.mkv")
    assert sum("the picture can be read no further" in note for note in notes) == 1
    assert sum("the copied streams can be read no further" in note for note in notes) == 1
