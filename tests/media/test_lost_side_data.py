"""What a bitstream says beside its pictures and an encoder here cannot say again: it is told, whenever it comes."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.frame import END
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.live import LivePicture
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import open_live
from tests.film import flat_picture, through

# ITU-T T.35: country USA; provider and what follows it.
CAPTIONS = bytes.fromhex("b50031") + b"GA94\x03" + bytes([0x40 | 1, 0xFF, 0xFC, 0x94, 0x2C, 0xFF])  # ATSC A/53, part 4
HDR10_PLUS = (
    bytes.fromhex("b5003c 0001 04")
    + np.packbits(
        [int(bit) for bit in "0000000101" + 27 * "0" + "0" + 68 * "0" + "0000" + 10 * "0" + "0" + "0" + "0" + 7 * "0"]
    ).tobytes()
)  # SMPTE ST 2094-40: version 1, one window, nothing in it
ENCODERS = {"h264": ("libx264", b"\x06"), "hevc": ("libx265", b"\x4e\x01")}  # and the NAL header of an SEI


def write(path: Path, codec: str, message: bytes, at: int) -> None:
    """Twelve pictures of 64x64, one of which has a user_data_registered_itu_t_t35 (payload type 4) of `message`."""
    encoder, header = ENCODERS[codec]
    payload = bytearray(bytes([4, len(message)]) + message + b"\x80")
    for place in range(len(payload) - 3, -1, -1):  # emulation prevention, from the end
        if payload[place : place + 2] == b"\0\0" and payload[place + 2] <= 3:
            payload.insert(place + 2, 3)
    with av.open(str(path), "w") as container:
        options = {"bf": "0", "x265-params": "log-level=none:bframes=0"}
        stream = container.add_stream(encoder, 25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), 40 + number, np.uint8), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            for packet in [*stream.encode(picture), *(stream.encode(None) if number == 11 else [])]:
                units = bytes(packet)
                if packet.pts == at:
                    units = b"\0\0\0\1" + header + bytes(payload) + units
                marked = av.Packet(units)
                marked.pts, marked.dts, marked.time_base = packet.pts, packet.dts, packet.time_base
                marked.is_keyframe, marked.stream = packet.is_keyframe, stream
                container.mux(marked)


@pytest.mark.parametrize("at", [0, 7])
@pytest.mark.parametrize(
    ("codec", "message", "words"),
    [
        ("h264", CAPTIONS, "closed captions inside the picture are not carried over"),
        ("hevc", CAPTIONS, "closed captions inside the picture are not carried over"),
        ("hevc", HDR10_PLUS, "HDR10+ dynamic metadata is not carried over"),
    ],
    ids=["captions-h264", "captions-hevc", "hdr10plus-hevc"],
)
def test_it_is_told_once_wherever_it_comes(tmp_path: Path, codec: str, message: bytes, words: str, at: int) -> None:
    path = tmp_path / f"film.{codec}"
    write(path, codec, message, at)
    with closing(FileSource(path)) as source:
        planes = source.format.new_planes()
        assert sum(1 for _ in iter(lambda: source.read(planes), END)) == 12
        assert source.notes.count(words) == 1


def live_notes(path: Path, count: int) -> list[str]:
    """Of the first pictures of a file, played live."""
    source = open_live(
        live_address(str(path)), open_timeout_seconds=5, read_timeout_seconds=5, cancelled=threading.Event()
    )
    with closing(source):
        pictures = (item for item in source if isinstance(item, LivePicture))
        assert sum(1 for _ in islice(pictures, count)) == count
    return source.notes


@pytest.mark.parametrize("at", [0, 7])
def test_it_is_told_of_live_pictures_too(tmp_path: Path, at: int) -> None:
    path = tmp_path / "film.h264"
    write(path, "h264", CAPTIONS, at)
    assert live_notes(path, 12).count("closed captions inside the picture are not carried over") == 1


def test_hdr10_is_told_of_live_pictures(tmp_path: Path) -> None:
    mastering = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {"x265-params": f"log-level=none:master-display={mastering}:max-cll=1000,400"}
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx265", 25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        for number in range(3):
            target.mux(stream.encode(flat_picture(number, 0, (64, 64), "yuv420p10le")))
        target.mux(stream.encode(None))
    notes = live_notes(path, 1)
    assert "HDR10 metadata (mastering display) is not carried over" in notes
    assert "HDR10 metadata (content light) is not carried over" in notes


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dolbyvision_hdr.mov", "Dolby Vision metadata is not carried over"),
        ("sar_32_27_480i_ateme.ts", "closed captions inside the picture are not carried over"),
        ("alpha_vp9_transparent.webm", "the transparency of the video (VP8/VP9 alpha) is lost"),
        ("SYN_yuv422p10_prores.mov", "the chroma of yuv422p10le is resampled to half resolution (4:2:0)"),
        ("ivf_av1_yuv444.ivf", "the chroma of yuv444p is resampled to half resolution (4:2:0)"),
    ],
)
def test_real_films(shared: Path, name: str, words: str) -> None:
    with closing(FileSource(shared / "data/video/torture" / name)) as source:
        source.read(source.format.new_planes())
        assert source.notes.count(words) == 1


@pytest.mark.parametrize(
    ("has_primaries", "has_luminance", "unit", "lack"),
    [
        (1, 0, 50_000, "states no luminance, and encoders take no half"),
        (0, 1, 50_000, "states no primaries, and encoders take no half"),
        (1, 1, 0, "is damaged"),
        (1, 1, 50_000, None),
        (0, 0, 50_000, None),
    ],
)
def test_half_of_a_mastering_display_is_told(
    write_film: Callable[..., FileSink], has_primaries: int, has_luminance: int, unit: int, lack: str | None
) -> None:
    """As Matroska may state it. FFmpeg's AVMasteringDisplayMetadata: ten rationals and two flags."""
    points = [34_000, 16_000, 13_250, 34_500, 7_500, 3_000, 15_635, 16_450]
    numbers = [number for point in points for number in (point, unit)]
    display = struct.pack("=22i", *numbers, 50, 10_000, 10_000_000, 10_000, has_primaries, has_luminance)
    sink = write_film(
        "a.mkv",
        encoder=choose_encoder("libx265"),
        side_data={"MASTERING_DISPLAY_METADATA": display},
    )
    told = [note for note in sink.notes if "mastering display" in note]
    assert told == ([f"the metadata of the mastering display is lost: it {lack}"] if lack else [])


def stereo_film(path: Path, mode: str | None = None, packing: str = "") -> Path:
    """Three pictures; `mode` is what Matroska's header says, `packing` (of H.264's SEI) what x264 writes."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", 25, options={"x264-params": f"log-level=none{packing}"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        if mode:
            stream.metadata["stereo_mode"] = mode
        for number in range(3):
            target.mux(stream.encode(flat_picture(number, size=(64, 64))))
        target.mux(stream.encode(None))
    return path


STEREO_LOSS = "that the video is stereoscopic (3D) is not carried over"


@pytest.mark.parametrize(
    ("mode", "packing", "suffix", "is_told"),
    [
        (None, ":frame-packing=3", ".mp4", True),
        (None, ":frame-packing=3", ".mkv", True),
        ("left_right", "", ".mp4", True),
        ("left_right", "", ".mov", True),
        ("left_right", ":frame-packing=3", ".mkv", False),
        ("mono", "", ".mp4", False),
        (None, ":frame-packing=6", ".mp4", False),  # says 2D
    ],
)
def test_stereo_is_kept_or_its_loss_told(
    tmp_path: Path, mode: str | None, packing: str, suffix: str, is_told: bool
) -> None:
    source, target = stereo_film(tmp_path / "film.mkv", mode, packing), tmp_path / f"out{suffix}"
    assert through(source, target).count(STEREO_LOSS) == is_told
    with av.open(str(target)) as result:
        kept = result.streams.video[0].metadata.get("stereo_mode")
    assert kept == (mode if suffix == ".mkv" else None)


@pytest.mark.parametrize(("mode", "packing", "is_told"), [("left_right", "", True), ("mono", "", False)])
def test_stereo_is_told_of_live_pictures(tmp_path: Path, mode: str, packing: str, is_told: bool) -> None:
    assert live_notes(stereo_film(tmp_path / "film.mkv", mode, packing), 1).count(STEREO_LOSS) == is_told


@pytest.mark.parametrize("tags", [{}, {"alpha_mode": "1"}], ids=["first-hand", "copied"])
def test_a_result_without_transparency_does_not_say_it_has_some(tmp_path: Path, tags: dict[str, str]) -> None:
    source, target = tmp_path / "film.webm", tmp_path / "out.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libvpx-vp9", 25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        stream.metadata.update(tags)  # FFmpeg's muxer writes them as text too, in capitals
        container.mux(stream.encode(flat_picture(0, 16, (64, 64), "yuva420p")))
        container.mux(stream.encode(None))
    assert "the transparency of the video (VP8/VP9 alpha) is lost" in through(source, target)
    with av.open(str(target)) as result:
        assert "alpha_mode" not in {key.lower() for key in result.streams.video[0].metadata}
