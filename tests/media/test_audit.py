"""What the audit reads from real files, checked against what is known of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream.errors import InputError
from lipt_stream.media.audit import picture_times, read_film
from lipt_stream.media.audit_pictures import PictureFacts, PictureReader
from lipt_stream.media.audit_thumbnails import Reducer, resolve_matrix, rgb_from_ycbcr


def facts_of(path: Path) -> PictureFacts:
    reader = PictureReader(path)
    reader.close()
    return reader.facts


def test_the_clip(clip: Path) -> None:
    film = read_film(clip)
    assert [(s.kind, s.codec, s.dispositions) for s in film.streams] == [("audio", "aac", frozenset({"default"}))]
    assert len(film.streams[0].packets) == 141
    assert film.metadata["creation_time"].startswith("2018-03-07")
    facts = facts_of(clip)
    assert (facts.width, facts.height, facts.bit_depth, facts.matrix) == (480, 270, 8, 6)
    assert (facts.chroma_width, facts.chroma_height, facts.chroma_location) == (240, 135, "left")
    assert facts.full_range is False


def test_packet_times_are_those_of_the_decoded_pictures(clip: Path) -> None:
    reader = PictureReader(clip)
    decoded = [picture.seconds for picture in reader.pictures(8, 8)]
    reader.close()
    times = picture_times(clip)
    assert list(times.starts) == pytest.approx(decoded)
    assert len(decoded) == 90
    assert times.end_seconds == pytest.approx(90 * 1001 / 30000)
    assert times.tick_seconds == pytest.approx(1 / 30000)
    assert reader.damaged == 0
    assert reader.sizes == {(480, 270)}


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_siting_is_read(tmp_path: Path, siting: str) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx265", 25, options={"x265-params": "log-level=none"})
        stream.width = stream.height = 64
        stream.codec_context.options = {"chroma_sample_location": siting, "x265-params": "log-level=none"}
        picture = VideoFrame.from_ndarray(np.full((96, 64), 128, np.uint8), format="yuv420p")
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        for packet in [*stream.encode(picture), *stream.encode(None)]:
            target.mux(packet)
    assert facts_of(path).chroma_location == siting


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuvj420p", "yuv422p10le", "yuv444p", "nv12", "gray", "rgb24", "gbrp", "rgba"]
)
@pytest.mark.parametrize("size", [(640, 360), (63, 35), (7, 1)])
def test_one_colour_stays_that_colour(pix_fmt: str, size: tuple[int, int]) -> None:
    """However it is stored, the small image of a plain gray picture is gray, of the same value."""
    width, height = size
    gray = VideoFrame.from_ndarray(np.full((height, width, 3), 100, np.uint8))
    if pix_fmt == "gray":
        frame = VideoFrame.from_ndarray(np.full((height, width), 102, np.uint8), format="gray")  # 16 + 100 * 219 / 255
    else:
        full = 2 if pix_fmt == "yuvj420p" else None if pix_fmt in ("rgb24", "gbrp", "rgba") else 1
        frame = gray.reformat(format=pix_fmt, dst_color_range=full)
    small = Reducer(min(width, 16), min(height, 9)).reduce(frame)
    assert small.shape == (min(height, 9), min(width, 16), 3)
    assert np.abs(small - 100).max() < 2, "a code of chroma off, by rounding, is 1.8"


def test_an_interlaced_picture_is_averaged_over_both_fields() -> None:
    """swscale reduces each field by itself and weaves the two: rows over twice as many lines."""
    lines = np.repeat(np.linspace(0, 255, 48, dtype=np.uint8)[:, None] ** 2 // 200, 64, axis=1)
    frame = VideoFrame.from_ndarray(np.vstack([lines, np.full((24, 64), 128, np.uint8)]), format="yuv420p")
    graph = Graph()
    source = graph.add_buffer(width=64, height=48, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    flagged = graph.vpull()
    assert flagged.interlaced_frame
    assert not frame.interlaced_frame
    reducer = Reducer(16, 6)
    assert np.array_equal(reducer.reduce(flagged), reducer.reduce(frame))


@pytest.mark.parametrize("name", ["yuvj420p", "yuv420p"])
@pytest.mark.parametrize(("color_range", "white"), [(1, (200 - 16) * 255 / 219), (2, 200)])
def test_the_range_goes_by_the_tag_and_not_by_the_name(name: str, color_range: int, white: float) -> None:
    """FFmpeg's H.264 decoder goes on with the name where a film turns from full range to studio."""
    frame = VideoFrame(64, 48, name)
    for plane, code in zip(frame.planes, (200, 128, 128), strict=True):
        np.frombuffer(plane, np.uint8)[:] = code
    frame.color_range, frame.colorspace = color_range, 1
    assert np.abs(Reducer(16, 12).reduce(frame) - white).max() < 0.1


def test_the_matrix_and_range_of_the_picture_are_used(clip: Path) -> None:
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    whole = frame.reformat(format="rgb24", src_colorspace=5, src_color_range=1, interpolation=exact).to_ndarray()
    wanted = whole.reshape(27, 10, 60, 8, 3).mean((1, 3))
    small = Reducer(60, 27).reduce(frame)
    assert np.abs(small - wanted).mean() < 1
    assert np.abs((small - wanted).mean((0, 1))).max() < 0.5
    frame.colorspace = 1
    assert np.abs(Reducer(60, 27).reduce(frame) - small).mean() > 1.5
    frame.colorspace, frame.color_range = 6, 2
    assert np.abs(Reducer(60, 27).reduce(frame) - small).mean() > 4


@given(st.sampled_from([1, 4, 5, 6, 7, 9]), st.floats(0, 1))
def test_gray_has_no_colour_in_any_matrix(matrix: int, luma: float) -> None:
    to_rgb = rgb_from_ycbcr(matrix)
    assert to_rgb @ [luma, 0, 0] == pytest.approx([luma] * 3)
    # H.273: white is Kr + Kg + Kb, so luma weights are the first line of the inverse and sum to 1.
    assert np.linalg.inv(to_rgb)[0].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("stated", "primaries", "size", "meant"),
    [
        (2, 2, (768, 576), 6),
        (2, 2, (720, 578), 1),
        (2, 2, (1280, 544), 1),
        (2, 9, (640, 480), 9),
        (5, 2, (1920, 1080), 5),
        (0, 2, (640, 480), 6),
        (9, 1, (640, 480), 9),
    ],
)
def test_an_unstated_matrix_goes_by_primaries_then_size(
    stated: int, primaries: int, size: tuple[int, int], meant: int
) -> None:
    assert resolve_matrix(stated, primaries, *size) == meant


def test_headers_that_muxers_change_do_not_count_as_content(clip: Path, tmp_path: Path) -> None:
    """AAC carries a header a packet in MPEG-TS and none in MP4; the sound is the same."""
    remuxed = tmp_path / "film.ts"
    with av.open(str(clip)) as source, av.open(str(remuxed), "w") as target:
        lanes = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = lanes[packet.stream_index]
                target.mux(packet)
    assert read_film(remuxed).streams[0].packets.digests == read_film(clip).streams[0].packets.digests


def test_what_cannot_be_read_is_said(tmp_path: Path, clip: Path) -> None:
    for content in (b"", b"words", clip.read_bytes()[:2000]):
        path = tmp_path / "wrong.mp4"
        path.write_bytes(content)
        for read in (read_film, picture_times, PictureReader):
            with pytest.raises(InputError, match=r"wrong\.mp4"):
                read(path)
    with pytest.raises(InputError, match="directory"):
        read_film(tmp_path)


def test_a_film_without_pictures_is_said_to_be_one_and_what_to_do(clip: Path, tmp_path: Path) -> None:
    sound, broken = tmp_path / "sound.mp4", tmp_path / "broken.mp4"
    for path, kind in ((sound, "audio"), (broken, "video")):
        with av.open(str(clip)) as source, av.open(str(path), "w") as target:
            stream = target.add_stream_from_template(source.streams.get({kind: 0})[0])
            for packet in source.demux(source.streams.get({kind: 0})[0]):
                if packet.size:
                    copy = av.Packet(bytes(packet) if kind == "audio" else bytes(packet.size))
                    copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, stream
                    target.mux(copy)
    with pytest.raises(InputError, match=r"Cannot audit .*sound\.mp4: it holds no video\. Name a file with pictures"):
        read_film(sound)
    with pytest.raises(InputError, match=r"Cannot audit .*broken\.mp4: no picture could be decoded\. It may be"):
        PictureReader(broken)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hdr10_av1_mdcv_clli_1080p.mp4", {"matrix": 9, "transfer": 16, "bit_depth": 10, "content_light": (1100, 180)}),
        ("rot90_h264.mov", {"rotation": -90, "mirrored": False}),
        ("sar_64_45_800x640_h264.mp4", {"sample_aspect_ratio": Fraction(64, 45)}),
        ("full_range_bt709_yuvj420p.mp4", {"full_range": True, "matrix": 1}),
        ("SYN_odd_width_353x241_h264_444.mp4", {"chroma_width": 353, "chroma_height": 241}),
        ("SYN_yuva444p10_prores4444_alpha.mov", {"has_alpha": True, "chroma_width": 320}),
        ("av1_gray_320x240.mp4", {"chroma_width": 0, "is_yuv": True}),
        ("SYN_rgb_h264rgb.mkv", {"is_yuv": False}),
    ],
)
def test_facts_of_odd_films(shared: Path, name: str, wanted: dict[str, object]) -> None:
    facts = facts_of(shared / "data" / "video" / "torture" / name)
    assert {key: getattr(facts, key) for key in wanted} == wanted


def test_hdr_metadata_is_in_standard_units(shared: Path) -> None:
    facts = facts_of(shared / "data" / "video" / "torture" / "hdr10_av1_mdcv_clli_1080p.mp4")
    assert facts.mastering_display[:2] == pytest.approx((0.678, 0.322), abs=1e-3)
    assert facts.mastering_display[-2:] == pytest.approx((0.0, 1000.0))


def test_all_streams_of_an_odd_film(shared: Path) -> None:
    film = read_film(shared / "data" / "video" / "torture" / "multi_audio_subs_two_video_nasa.mp4")
    assert [s.kind for s in film.streams] == ["audio", "subtitle", "audio", "subtitle"]
    assert (film.further_videos, film.covers, film.others) == (1, (), ())
    chapters = read_film(shared / "data" / "video" / "torture" / "chapters_320x240_yuv444.mkv").chapters
    assert len(chapters) == 2
