from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipt_stream.errors import InputError, SettingsError
from lipt_stream.frame import BT709, END, Frame
from lipt_stream.media.av_errors import input_error
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.synthetic import stamped_index
from tests.film import flat_picture, frames_of

WriteFilm = Callable[..., object]


def plain_count(path: Path) -> int:
    """What a loop over PyAV reads, going on behind a damaged packet."""
    count = 0
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            try:
                count += len(packet.decode())
            except av.FFmpegError:
                continue
    return count


def seconds_of(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_the_bundled_clip(clip: Path) -> None:
    source = FileSource(clip)
    assert str(source.format) == "480x270 yuv420p 29.97 fps"
    assert (source.format.color_range, source.format.rotation) == ("studio", 0)
    assert source.frame_count_estimate == 90
    assert len(frames_of(source)) == 90
    assert source.frames_concealed == 0


def test_pictures_are_expected_to_their_own_end(tmp_path: Path) -> None:
    """Not to that of a subtitle which FFmpeg wrote without one, hours behind them."""
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        video, track = container.add_stream("libx264", 25), container.add_mux_stream("dvb_subtitle")
        video.width, video.height = 64, 48
        for number in range(50):
            container.mux(video.encode(flat_picture(number, 90)))
        packet = av.Packet(bytes([0x0F, 0x80, 0, 1, 0, 0]))
        packet.pts = packet.dts = 1_000
        packet.duration, packet.time_base, packet.stream = 40_000_000, Fraction(1, 1_000), track
        container.mux(packet)
        container.mux(video.encode(None))
    with closing(FileSource(film)) as source:
        assert source.frame_count_estimate == 50


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.one_of(st.none(), st.floats(0, 2.9)), length=st.floats(0.05, 3.5))
def test_a_cut_takes_exactly_the_pictures_inside(clip: Path, start: float | None, length: float) -> None:
    end = (start or 0) + length
    times = seconds_of(clip)
    low, high = (Fraction(t or 0).limit_denominator(10**6) for t in (start, end))
    expected = [t - low for t in times if low <= t < high]
    if not expected:
        with pytest.raises(InputError, match="cut"):
            FileSource(clip, start_seconds=start, end_seconds=end)
        return
    source = FileSource(clip, start_seconds=start, end_seconds=end)
    got = [frame.pts * source.format.time_base for frame in frames_of(source)]
    half_tick = source.format.time_base / 2
    assert [abs(a - b) <= half_tick for a, b in zip(got, expected, strict=True)] == [True] * len(expected)
    assert abs((source.frame_count_estimate or 0) - len(got)) <= 2


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_a_cut_shows_the_right_pictures(write_film: WriteFilm, tmp_path: Path, name: str) -> None:
    """Seeking goes back to a keyframe and skips to the start: picture 25 is picture 25, not its keyframe."""
    write_film(name, pts=[3600 * n for n in range(60)])
    source = FileSource(tmp_path / name, start_seconds=1.0, end_seconds=1.4)
    planes = source.format.new_planes()
    stamps: list[int] = []
    while source.read(planes) is not END:
        stamps.append(stamped_index(planes[0], 8))
    source.close()
    assert stamps == list(range(25, 35))


def test_a_cut_counts_from_the_first_picture(write_film: WriteFilm, tmp_path: Path) -> None:
    write_film("late.mkv", pts=[90_000 * 7 + 3600 * n for n in range(50)])
    source = FileSource(tmp_path / "late.mkv", start_seconds=1.0)
    frames = frames_of(source)
    assert (len(frames), frames[0].pts) == (25, 0)


def test_a_cut_past_the_end_says_so(clip: Path) -> None:
    with pytest.raises(InputError, match=r"Nothing of .* lies within the cut\. Give an earlier --start"):
        FileSource(clip, start_seconds=100)
    with pytest.raises(SettingsError):
        FileSource(clip, start_seconds=2, end_seconds=1)


def test_a_stream_without_an_index_can_be_cut(clip: Path, tmp_path: Path) -> None:
    """Raw H.264 has neither timestamps nor seeking: it is read from the beginning."""
    raw = tmp_path / "film.h264"
    with av.open(str(clip)) as source, av.open(str(raw), "w", format="h264") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                target.mux(packet)
    whole = FileSource(raw)
    count = len(frames_of(whole))
    assert count == 90
    assert any("timestamps were missing" in note for note in whole.notes)
    cut = FileSource(raw, start_seconds=1, end_seconds=2)
    assert abs(len(frames_of(cut)) - 25) <= 5, "at the rate that FFmpeg assumes for a raw stream"


def test_missing_path_directory_text_and_audio(tmp_path: Path, clip: Path) -> None:
    with pytest.raises(InputError, match=r"no such file. Check the path"):
        FileSource(tmp_path / "nowhere.mp4")
    with pytest.raises(InputError, match="it is a directory"):
        FileSource(tmp_path)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(InputError, match="not a video"):
        FileSource(tmp_path / "empty.mp4")
    (tmp_path / "text.mp4").write_text("no film\n" * 50)
    with pytest.raises(InputError):
        FileSource(tmp_path / "text.mp4")
    sound = tmp_path / "sound.m4a"
    with av.open(str(clip)) as source, av.open(str(sound), "w", format="mp4") as target:
        copied = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = copied
                target.mux(packet)
    with pytest.raises(InputError, match="holds no video, only audio"):
        FileSource(sound)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nflower.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile flower.ts\n"),
    ],
)
def test_playlists_that_name_other_files_are_not_followed(clip: Path, tmp_path: Path, name: str, text: str) -> None:
    with av.open(str(clip)) as source, av.open(str(tmp_path / "flower.ts"), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                target.mux(packet)
    (tmp_path / name).write_text(text)
    with av.open(str(tmp_path / name)) as followed:
        assert next(followed.decode(video=0)).width == 480, "FFmpeg by itself follows it"
    with pytest.raises(InputError, match="Cannot read"):
        FileSource(tmp_path / name)


def test_names_that_look_like_protocols(clip: Path, tmp_path: Path) -> None:
    odd = tmp_path / "http:film%03d.mp4"
    odd.write_bytes(clip.read_bytes())
    source = FileSource(odd)
    assert source.format.width == 480
    source.close()


def test_damage_in_the_middle_is_counted_and_the_film_goes_on(clip: Path, tmp_path: Path) -> None:
    data = bytearray(clip.read_bytes())
    rng = random.Random(3)
    middle = len(data) // 2
    for n in range(middle, middle + 6000):
        data[n] = rng.randrange(256)
    (tmp_path / "damaged.mp4").write_bytes(data)
    source = FileSource(tmp_path / "damaged.mp4")
    frames = frames_of(source)
    assert source.frames_concealed > 0
    assert len(frames) + source.frames_concealed >= 90 or len(frames) >= 60
    assert any("damaged" in note for note in source.notes)
    assert sum(frame.concealed for frame in frames) <= source.frames_concealed
    assert frames[-1].pts > frames[60].pts


def test_a_film_cut_short_says_how_much_is_missing(shared: Path) -> None:
    source = FileSource(shared / "data/video/torture/SYN_truncated_half.mp4")
    assert len(frames_of(source)) == 76
    assert "the file states 377 pictures, but only 76 could be read" in source.notes


def test_a_change_of_size_is_scaled_to_the_first_and_said_once(shared: Path) -> None:
    path = shared / "data/video/torture/SYN_midstream_res_change_320x180_640x360_322x242.h264"
    source = FileSource(path)
    assert len(frames_of(source)) == 75
    assert sum("the size changes" in note for note in source.notes) == 1
    assert (source.format.width, source.format.height) == (320, 180)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rot90_h264.mov", {"rotation": -90}),
        ("sar_64_45_800x640_h264.mp4", {"sample_aspect_ratio": Fraction(64, 45)}),
        ("full_range_bt709_yuvj420p.mp4", {"color_range": "full", "color_space": BT709, "pix_fmt": "yuv420p"}),
        ("hdr10_av1_mdcv_clli_1080p.mp4", {"pix_fmt": "yuv420p10le", "color_space": 9, "primaries": 9, "transfer": 16}),
        ("SYN_yuva444p10_prores4444_alpha.mov", {"pix_fmt": "yuv420p12le"}),
        ("mpeg1_640x480.mpg", {"chroma_location": "center"}),
        ("odd_161x121_vp9.webm", {"width": 161, "height": 121}),
    ],
)
def test_what_real_files_say_of_themselves(shared: Path, name: str, expected: dict[str, object]) -> None:
    source = FileSource(shared / "data/video/torture" / name)
    planes = source.format.new_planes()
    frame = source.read(planes)
    source.close()
    assert {key: getattr(source.format, key) for key in expected} == expected
    assert isinstance(frame, Frame)
    assert (set(frame.side_data) == {"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL"}) == ("mdcv" in name)


def test_system_errors_become_one_line() -> None:
    for number in (errno.EACCES, errno.EIO, errno.ENOENT, errno.EBADF):
        error = input_error(OSError(number, os.strerror(number)), Path("a.mp4"))
        assert str(error).startswith("Cannot read a.mp4: ")
        assert error.hint
        assert "\n" not in str(error)


def test_a_film_cut_within_its_last_picture_keeps_those_before_it(tmp_path: Path) -> None:
    """Pictures that wait for a damaged one, because of B-frames, are shown all the same."""
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    with av.open(str(tmp_path / "whole.mp4"), "w", options=fragments) as container:
        stream = container.add_stream("libx264", 25, options={"g": "5", "bf": "3", "x264-params": "scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(40):
            noise = np.random.default_rng(n).integers(0, 256, (72, 64), np.uint8)
            picture = av.VideoFrame.from_ndarray(noise, format="yuv420p")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    whole = (tmp_path / "whole.mp4").read_bytes()
    for share in (0.41, 0.52, 0.57, 0.66, 0.73):
        (tmp_path / "cut.mp4").write_bytes(whole[: int(len(whole) * share)])
        source = FileSource(tmp_path / "cut.mp4")
        frames = frames_of(source)
        assert len(frames) == plain_count(tmp_path / "cut.mp4")


def test_what_is_lost_of_a_picture_is_concealed(tmp_path: Path) -> None:
    """Not left black: FFmpeg fills it from the picture before, where one thread decodes alone."""
    with av.open(str(tmp_path / "whole.h264"), "w") as container:
        stream = container.add_stream("libx264", 25, options={"bf": "0", "x264-params": "scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for n in range(10):
            samples = np.random.default_rng(n).integers(100, 200, (144, 128), np.uint8)
            picture = av.VideoFrame.from_ndarray(samples, format="yuv420p")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    whole = (tmp_path / "whole.h264").read_bytes()
    (tmp_path / "cut.h264").write_bytes(whole[: whole.rindex(b"\0\0\1") + 300])
    source = FileSource(tmp_path / "cut.h264")
    planes, last = source.format.new_planes(), None
    while (frame := source.read(planes)) is not END:
        last = frame
    source.close()
    assert last is not None
    assert last.concealed
    assert planes[0].min() > 60
