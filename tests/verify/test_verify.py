"""The audit on real files: a faithful result passes, and every fault is found and called by its name."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.codec import CodecContext
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lipt_stream.cli.main import build_app
from lipt_stream.errors import InputError
from lipt_stream.frame import END, VideoFormat
from lipt_stream.media.encoders import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from lipt_stream.media.synthetic import SyntheticSource
from lipt_stream.verify.audit import Verification, quick_check, verify
from lipt_stream.verify.colors import MISTAKES, ColorChange, ColorSums
from lipt_stream.verify.pictures import align, ranges
from lipt_stream.verify.times import compare_times, unmatched_times

COUNT = 40
SIZE = 160, 90
TICK = Fraction(1, 90_000)
MILLISECOND = Fraction(1, 1_000)


@dataclass(frozen=True)
class Film:
    """A film to be written: which of the clip's pictures, when, how large, and all that goes with them."""

    shown: tuple[int, ...] = tuple(range(COUNT))
    times_ms: tuple[int, ...] = tuple(40 * n + (7 if n % 3 else 0) for n in range(COUNT))
    scale: int = 1
    matrix: int = 6
    full_range: bool = False
    convert_range: bool = False  # whether the samples are in full range as well
    convert_matrix: int = 5  # by which the samples are made (swscale's number: 5 is BT.601, 1 is BT.709)
    transfer: int = 6
    hdr: str = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
    aspect: Fraction = Fraction(4, 3)
    rotation: int = 90
    pix_fmt: str = "yuv420p"
    siting: str = "left"
    languages: tuple[str, ...] = ("eng", "deu")
    audio_delay_ms: int = 0
    audio_skipped: int | None = None  # a packet left out of every sound track
    subtitle: str = "Hello"
    subtitle_ms: tuple[int, int] = (200, 500)  # from when, and for how long
    chapters: tuple[tuple[str, int], ...] = (("Seed", 0), ("Bloom", 600))
    tags: tuple[tuple[str, str], ...] = (("title", "A flower"), ("comment", "Filmed in spring"))
    attachment: bytes = b"not really a font"
    blank_ms: int | None = None  # the time of a picture that is left black, ms

    def but(self, **changes: object) -> Film:
        return replace(self, **changes)


SOURCE = Film()
GOOD = Film(scale=2)


Write = Callable[[Film], Path]


@pytest.fixture(scope="module")
def source(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.mkv"
    write_film(path, SOURCE, clip, decoded(clip))
    return path


@pytest.fixture(scope="module")
def write(source: Path, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Makes a result from the source's own pictures."""
    pictures = decoded(source)

    def write_result(film: Film) -> Path:
        path = tmp_path_factory.mktemp("result") / "result.mkv"
        write_film(path, film, clip, pictures)
        return path

    return write_result


def decoded(path: Path) -> list[VideoFrame]:
    with av.open(str(path)) as container:
        return [frame for frame, _ in zip(container.decode(video=0), range(COUNT), strict=False)]


def write_film(path: Path, film: Film, clip: Path, pictures: list[VideoFrame]) -> None:
    with av.open(str(clip)) as sound, av.open(str(path), "w") as target:
        stream = _add_picture(target, film)
        tracks = [target.add_stream_from_template(sound.streams.audio[0]) for _ in film.languages]
        for track, language in zip(tracks, film.languages, strict=True):
            track.metadata["language"] = language
        text = target.add_mux_stream("subrip") if film.subtitle else None
        target.add_attachment("font.ttf", "font/ttf", film.attachment)
        target.metadata.update(dict(film.tags))
        target.set_chapters([_chapter(*chapter) for chapter in film.chapters])
        _encode(target, stream, film, [pictures[n] for n in film.shown])
        packets = [packet for packet in sound.demux(audio=0) if packet.size and packet.pts * packet.time_base < 1.5]
        for number, packet in enumerate(packets):
            for track in tracks:
                if number != film.audio_skipped:
                    target.mux_one(_copy(packet, track, film.audio_delay_ms))
        if text is not None:
            line = av.Packet(film.subtitle.encode())
            line.stream, line.time_base = text, Fraction(1, 1000)
            line.pts = line.dts = film.subtitle_ms[0]
            line.duration = film.subtitle_ms[1]
            target.mux_one(line)


def _add_picture(target: OutputContainer, film: Film) -> VideoStream:
    stream = target.add_stream("libx264", 25)
    stream.width, stream.height = SIZE[0] * film.scale, SIZE[1] * film.scale
    stream.pix_fmt, stream.time_base = film.pix_fmt, TICK
    stream.set_display_rotation(film.rotation)
    context = stream.codec_context
    context.time_base = TICK
    quality = {"preset": "ultrafast", "crf": "14", "x264-params": film.hdr}
    context.options = quality | {"chroma_sample_location": film.siting}
    context.sample_aspect_ratio = film.aspect
    context.colorspace, context.color_range = film.matrix, 2 if film.full_range else 1
    context.color_primaries, context.color_trc = 6, film.transfer
    return stream


def _encode(target: OutputContainer, stream: VideoStream, film: Film, pictures: list[VideoFrame]) -> None:
    scaler = VideoReformatter()
    for picture, time_ms in zip(pictures, film.times_ms, strict=True):
        large = scaler.reformat(
            picture,
            stream.width,
            stream.height,
            film.pix_fmt,
            src_colorspace=5,
            dst_colorspace=film.convert_matrix,
            src_color_range=1,
            dst_color_range=2 if film.convert_range else 1,
            interpolation="BICUBIC",
        )
        if time_ms == film.blank_ms:
            black = np.zeros((stream.height, stream.width, 3), np.uint8)
            large = VideoFrame.from_ndarray(black).reformat(format=film.pix_fmt)
        large.pts, large.time_base, large.pict_type = time_ms * 90, TICK, 0
        _mux(target, stream.encode(large))
    _mux(target, stream.encode(None))


def _mux(target: OutputContainer, packets: list[av.Packet]) -> None:
    for packet in packets:
        packet.duration = 3600
        target.mux_one(packet)


def _copy(packet: av.Packet, track: av.stream.Stream, delay_ms: int) -> av.Packet:
    copy = av.Packet(bytes(packet))
    copy.stream, copy.time_base = track, packet.time_base
    delay = round(Fraction(delay_ms, 1000) / packet.time_base)
    copy.pts, copy.dts, copy.duration = packet.pts + delay, packet.dts + delay, packet.duration
    return copy


def _chapter(title: str, start_ms: int) -> dict[str, object]:
    unit = Fraction(1, 1000)
    return {"id": start_ms, "start": start_ms, "end": start_ms + 500, "time_base": unit, "metadata": {"title": title}}


def failures(verification: Verification) -> dict[str, str]:
    return {check.name: check.detail for check in verification.failed}


def test_a_faithful_result_passes(source: Path, write: Write) -> None:
    verification = verify(source, write(GOOD), scale=2)
    assert failures(verification) == {}
    assert verification.ok
    names = {check.name for check in verification.checks}
    assert {"frames", "timestamps", "duration", "pictures", "colour", "size", "rotation", "matrix", "range"} <= names
    assert {"audio 1 packets", "audio 2 offset", "subtitle 1", "chapters", "attachments", "metadata"} <= names
    shown = {check.name: (check.source, check.result) for check in verification.checks}
    assert shown["frames"] == ("40", "40")
    assert shown["size"] == ("160x90", "320x180")
    assert shown["sample aspect ratio"] == ("4/3", "4/3")


def test_a_language_by_its_other_name_is_the_same(source: Path, write: Write) -> None:
    assert failures(verify(source, write(GOOD.but(languages=("eng", "ger"))), scale=2)) == {}


ALL = tuple(range(COUNT))
FAR = (*ALL[:5], 30, *ALL[6:30], 5, *ALL[31:])
SWAPPED = (*ALL[:20], 21, 20, *ALL[22:])
REPEATED = (*ALL[:20], 19, *ALL[21:])

FAULTS: dict[str, tuple[Film, dict[str, str]]] = {
    "a picture missing": (
        GOOD.but(shown=ALL[:17] + ALL[18:], times_ms=SOURCE.times_ms[:17] + SOURCE.times_ms[18:]),
        {"frames": "1 missing: 17 (0.687", "pictures": "missing: the source's 17", "timestamps": "at 0.687 s"},
    ),
    "a picture missing, the rest moved up": (
        GOOD.but(shown=ALL[:17] + ALL[18:], times_ms=SOURCE.times_ms[:-1]),
        {"frames": "1 missing: 17", "pictures": "missing: the source's 17", "timestamps": "", "duration": "-33"},
    ),
    "a picture doubled": (
        GOOD.but(shown=(*ALL[:21], 20, *ALL[21:]), times_ms=(*SOURCE.times_ms[:21], 815, *SOURCE.times_ms[21:])),
        {"frames": "1 too many", "pictures": "shown twice: 21", "timestamps": "none in the source at 0.815 s"},
    ),
    "a picture replaced by the one before": (
        GOOD.but(shown=REPEATED),
        {"pictures": "missing: the source's 20; shown twice: 20"},
    ),
    "two pictures far apart swapped": (GOOD.but(shown=FAR), {"pictures": "5"}),
    "two pictures swapped": (GOOD.but(shown=SWAPPED), {"pictures": "out of order: 21"}),
    "a picture left black": (GOOD.but(blank_ms=840), {"likeness": "pictures 21 show nothing"}),
    "the end cut off": (
        GOOD.but(shown=ALL[:30], times_ms=SOURCE.times_ms[:30]),
        {"frames": "10 missing: 30-39 (1.200 to 1.56", "pictures": "", "timestamps": "", "duration": "-393"},
    ),
    "a constant rate forced": (
        GOOD.but(times_ms=tuple(40 * n for n in range(COUNT))),
        {"timestamps": "26 of 40 are off, by up to 7.0 ms"},
    ),
    "sound late": (
        GOOD.but(audio_delay_ms=60),
        {"audio 1 offset": "60.0 ms late against the picture", "audio 2 offset": ""},
    ),
    "a sound track dropped": (GOOD.but(languages=("eng",)), {"audio streams": "lost: audio 2 (aac deu"}),
    "a sound packet dropped": (
        GOOD.but(audio_skipped=12),
        {"audio 1 packets": "the first that differs is number 12", "audio 2 packets": ""},
    ),
    "a language lost": (GOOD.but(languages=("eng", "und")), {"audio 2": "the language deu became -"}),
    "a subtitle lost": (GOOD.but(subtitle=""), {"subtitle streams": "lost: subtitle 1 (subrip"}),
    "a subtitle changed": (GOOD.but(subtitle="Hullo"), {"subtitle 1 packets": "number 0"}),
    "a subtitle late": (GOOD.but(subtitle_ms=(260, 500)), {"subtitle 1 offset": "60.0 ms late"}),
    "a subtitle shown too long": (
        GOOD.but(subtitle_ms=(200, 900)),
        {"subtitle 1 packets": "number 0 is shown for another time"},
    ),
    "wrong samples under the right matrix tag": (
        GOOD.but(convert_matrix=1),
        {"colour": "BT.709 was taken for BT.601"},
    ),
    "wrong transfer tag": (GOOD.but(transfer=1), {"transfer": "BT.601 became BT.709"}),
    "mastering display lost": (
        GOOD.but(hdr="cll=1000,400"),
        {"mastering display": "the mastering display metadata is lost"},
    ),
    "content light changed": (
        GOOD.but(hdr=SOURCE.hdr.replace("1000,400", "1000,401")),
        {"content light": "the content light metadata changed"},
    ),
    "wrong matrix tag": (
        GOOD.but(matrix=1),
        {"matrix": "BT.601 for the source and BT.709", "colour": "BT.601 was taken for BT.709"},
    ),
    "wrong range tag": (
        GOOD.but(full_range=True),
        {"range": "takes the result for full", "colour": "studio range was taken for full"},
    ),
    "wrong samples under the right range tag": (
        GOOD.but(convert_range=True),
        {"colour": "full range was taken for studio"},
    ),
    "chroma siting changed": (GOOD.but(siting="topleft"), {"chroma location": "left became topleft"}),
    "a chapter lost": (GOOD.but(chapters=SOURCE.chapters[:1]), {"chapters": "2 chapters became 1; lost: Bloom"}),
    "a chapter moved": (GOOD.but(chapters=(("Seed", 0), ("Bloom", 700))), {"chapters": "2 begins +100"}),
    "aspect lost": (GOOD.but(aspect=Fraction(1)), {"sample aspect ratio": "4/3 became 1"}),
    "rotation lost": (GOOD.but(rotation=0), {"rotation": "90° became 0°"}),
    "size wrong": (GOOD.but(scale=3), {"size": "480x270 is x2 was asked"}),
    "metadata lost": (GOOD.but(tags=SOURCE.tags[:1]), {"metadata": "lost: comment"}),
    "attachment changed": (GOOD.but(attachment=b"another"), {"attachments": "changed: font.ttf"}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_and_only_it(source: Path, write: Write, name: str) -> None:
    film, expected = FAULTS[name]
    found = failures(verify(source, write(film), scale=2))
    assert found.keys() == expected.keys()
    for check, words in expected.items():
        assert found[check], f"{check} gives no reason"
        assert words in found[check]


def test_a_result_cut_short_in_the_file_is_not_taken_for_whole(source: Path, write: Write, tmp_path: Path) -> None:
    whole = write(GOOD).read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 6 // 10])
    found = failures(verify(source, cut))
    assert "missing" in found["frames"]
    assert "audio 1 packets" in found or "audio streams" in found


@pytest.mark.parametrize(
    "content", [b"", b"this is no film at all", bytes(range(256)) * 40], ids=["empty", "text", "bytes"]
)
def test_a_result_that_is_no_video_fails_and_a_source_that_is_none_is_an_error(
    source: Path, tmp_path: Path, content: bytes
) -> None:
    wrong = tmp_path / "wrong.mkv"
    wrong.write_bytes(content)
    verification = verify(source, wrong)
    assert not verification.ok
    assert list(failures(verification)) == ["readable"]
    assert "wrong.mkv" in failures(verification)["readable"]
    with pytest.raises(InputError, match=r"wrong\.mkv"):
        verify(wrong, source)
    with pytest.raises(InputError, match="no such file"):
        verify(tmp_path / "nowhere.mkv", source)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_what_our_sink_writes_passes(clip: Path, tmp_path: Path, suffix: str) -> None:
    result = tmp_path / f"large{suffix}"
    report = through_the_sink(clip, result)
    assert failures(verify(clip, result)) == {}
    assert failures(Verification(quick_check(result, **report))) == {}


def through_the_sink(path: Path, result: Path) -> dict[str, Any]:
    """The film with every sample doubled both ways; what `quick_check` wants to know of it."""
    source = FileSource(path)
    large = source.format.scaled(2)
    sink = FileSink(result, large, encoder=choose_encoder("libx264", options={"preset": "ultrafast"}), copy_from=path)
    small_planes, planes = source.format.new_planes(), large.new_planes()
    pts: list[int] = []
    end = 0
    while (frame := source.read(small_planes)) is not END:
        for small, plane in zip(small_planes, planes, strict=True):
            plane[...] = small.repeat(2, 0).repeat(2, 1)
        frame.planes = planes
        sink.write(frame)
        pts.append(frame.pts)
        end = frame.pts + frame.duration
    sink.close()
    source.close()
    return {"pts": pts, "end_pts": end, "time_base": large.time_base}


def quick_failures(result: Path, pts: Sequence[int], end_pts: int, unit: Fraction = MILLISECOND) -> dict[str, str]:
    return failures(Verification(quick_check(result, pts=pts, end_pts=end_pts, time_base=unit)))


def test_the_quick_check_tells_counts_and_times(source: Path) -> None:
    times = SOURCE.times_ms
    assert quick_failures(source, times, 1600) == {}
    assert list(quick_failures(source, times, 1640)) == ["duration"]
    found = quick_failures(source, [*times[:5], 190, *times[5:]], 1600)
    assert found["frames"] == "41 were written, the file holds 40"
    assert found["timestamps"] == "none in the result at 0.190 s"
    late = quick_failures(source, [time + 100 for time in times], 1700)
    assert late == {"timestamps": "all are off by -100.0 ms"}
    assert quick_failures(source, [time - 500 for time in times], 1100) == {}, "such a film is moved to zero"


def test_the_quick_check_compares_every_time(write: Write) -> None:
    """One in the middle alone; and a constant rate forced between a first and a last that are right."""
    times = SOURCE.times_ms
    one = write(GOOD.but(times_ms=(*times[:20], times[20] - 3, *times[21:])))
    words = "1 of 40 are off, by up to 3.0 ms (2.0 are allowed): pictures 20"
    assert quick_failures(one, times, 1600) == {"timestamps": words}
    constant = write(GOOD.but(times_ms=tuple(40 * n for n in range(COUNT))))
    found = quick_failures(constant, times, 1600)["timestamps"]
    assert found.startswith("26 of 40 are off, by up to 7.0 ms (2.0 are allowed): pictures 1-2, 4-5")


def test_a_coarse_source_excuses_no_shift_in_the_quick_check(write: Write) -> None:
    """One that counts in pictures: some come late by a whole one."""
    meant = [2 * n for n in range(COUNT)]
    late = write(GOOD.but(times_ms=tuple(40 * n + (40 if 20 <= n < 22 else 0) for n in meant)))
    found = quick_failures(late, meant, 2 * COUNT - 1, Fraction(1, 25))
    assert found == {"timestamps": "1 of 40 are off, by up to 40.0 ms (2.0 are allowed): pictures 10"}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_quick_check_believes_a_short_last_picture(tmp_path: Path, suffix: str) -> None:
    """In MP4 with B-frames the packet of the last picture carries a step of decoding time, not the picture's own."""
    video = VideoFormat(width=64, height=48, time_base=Fraction(1, 1000))
    source, result = SyntheticSource(video, 29), tmp_path / f"short{suffix}"
    sink = FileSink(result, video, encoder=choose_encoder("libx264"), copy_from=None)
    planes = video.new_planes()
    while (frame := source.read(planes)) is not END:
        sink.write(replace(frame, pts=33 * frame.index, duration=1 if frame.index == 28 else 33))
    sink.close()
    assert quick_failures(result, range(0, 29 * 33, 33), 925) == {}


def test_the_command_prints_a_table_or_one_object_and_exits_by_the_verdict(source: Path, write: Write) -> None:
    runner = CliRunner()
    good, bad = str(write(GOOD)), str(write(GOOD.but(matrix=1)))
    passed = runner.invoke(build_app(["verify"]), ["verify", str(source), good, "--scale", "2"])
    assert passed.exit_code == 0
    assert "checks hold" in passed.output
    failed = runner.invoke(build_app(["verify"]), ["verify", str(source), bad])
    assert failed.exit_code == 1
    assert "matrix: a player takes BT.601 for the source and BT.709 for the result" in failed.output
    told = runner.invoke(build_app(["verify"]), ["verify", str(source), bad, "--json"])
    assert told.exit_code == 1
    answer = json.loads(told.output)
    assert answer["ok"] is False
    assert {tuple(check) for check in answer["checks"]} == {("name", "ok", "source", "result", "detail")}
    assert [check["name"] for check in answer["checks"] if not check["ok"]] == ["colour", "matrix"]


@given(st.lists(st.integers(1, 200), min_size=2, max_size=60), st.data())
def test_times_left_out_are_the_ones_named(steps_ms: list[int], data: st.DataObject) -> None:
    times = [float(t) / 1000 for t in np.cumsum(steps_ms)]
    left_out = data.draw(st.sets(st.integers(1, len(times) - 1), max_size=len(times) - 1))
    kept = [time + 5 for n, time in enumerate(times) if n not in left_out]
    missing, extra = unmatched_times(times, kept, 0.0004)
    assert missing == pytest.approx([times[n] - times[0] for n in sorted(left_out)])
    assert extra == []
    assert compare_times(times, kept, 0.0004).ok == (not left_out)


def test_times_that_the_source_lacks_or_turns_back_are_not_held_against_the_result() -> None:
    nan = float("nan")
    assert compare_times([0.0, nan, 0.08, 0.04, 0.16], [0.0, 0.04, 0.08, 0.12, 0.16], 0.001).ok
    assert not compare_times([0.0, nan, 0.08, 0.04, 0.16], [0.0, 0.04, 0.09, 0.12, 0.16], 0.001).ok
    assert not compare_times([0.0, nan, 0.08], [0.0, 0.09, 0.08], 0.001).ok, "a result has to increase"
    assert compare_times([nan, nan], [0.0, 0.04], 0.001).ok


@given(st.permutations(range(12)))
def test_any_order_but_the_right_one_is_named(order: list[int]) -> None:
    found = align(order, 12)
    assert not found.missing
    assert not found.repeated
    assert found.ok == (order == sorted(order)) == (not found.out_of_order)


@given(st.sets(st.integers(0, 100), min_size=1))
def test_ranges_name_every_number(numbers: set[int]) -> None:
    named: set[int] = set()
    for run in ranges(sorted(numbers), most=200).split(", "):
        first, _, last = run.partition("-")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == numbers


@pytest.mark.parametrize(("name", "change"), MISTAKES, ids=[name for name, _ in MISTAKES])
def test_a_mistake_in_colour_is_called_by_its_name(name: str, change: ColorChange) -> None:
    images = np.random.default_rng(1).uniform(60, 190, (4, 36, 64, 3)).astype(np.float32)
    sums = ColorSums()
    for image in images:
        sums.add(image, change.apply(image))
    difference = sums.difference(1_000_000)
    assert difference.mistake == name
    assert name in "; ".join(difference.faults)
    unchanged = ColorSums()
    unchanged.add(images[0], images[0])
    assert unchanged.difference(1_000_000).faults == ()


@pytest.mark.parametrize(("pixels", "is_fault"), [(49, False), (1_000_000, True)])
def test_pictures_of_few_pixels_may_differ_more(pixels: int, is_fault: bool) -> None:
    image = np.random.default_rng(1).uniform(60, 190, (7, 7, 3)).astype(np.float32)
    sums = ColorSums()
    sums.add(image, image + np.array([2, -2, 5], np.float32))
    assert bool(sums.difference(pixels).faults) == is_fault


def test_the_last_picture_of_an_mp4_is_no_longer_than_its_track(tmp_path: Path) -> None:
    """With B-frames its own duration is a step of decoding time, which a gap before it makes too long."""
    video = VideoFormat(width=64, height=48, frame_rate=Fraction(25), time_base=Fraction(1, 25))
    for name, encoder in (("source.mkv", "ffv1"), ("result.mp4", "libx264")):
        source, planes = SyntheticSource(video, 22), video.new_planes()
        sink = FileSink(tmp_path / name, video, encoder=choose_encoder(encoder), copy_from=None)
        while (frame := source.read(planes)) is not END:
            sink.write(replace(frame, pts=frame.index + 3 * (frame.index == 21), duration=1))
        sink.close()
    assert failures(verify(tmp_path / "source.mkv", tmp_path / "result.mp4")) == {}


def with_stills(clip: Path, path: Path, covers: Sequence[bytes], videos: int = 1) -> Path:
    """The clip's beginning in Matroska, with these JPEGs attached, and its picture so many times."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        tracks = [target.add_stream_from_template(source.streams.video[0]) for _ in range(videos)]
        for number, data in enumerate(covers):
            target.add_attachment(f"cover{number}.jpg", "image/jpeg", data)
        packets = itertools.islice(source.demux(video=0), 10)
        for packet, track in itertools.product([packet for packet in packets if packet.size], tracks):
            target.mux_one(_copy(packet, track, 0))
    return path


def jpeg(gray: int) -> bytes:
    encoder = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 16, 16, "yuvj420p", MILLISECOND
    picture = VideoFrame.from_ndarray(np.full((16, 16, 3), gray, np.uint8)).reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def test_a_cover_that_is_lost_or_another_one_is_found(clip: Path, tmp_path: Path) -> None:
    dark, light = jpeg(30), jpeg(200)
    source = with_stills(clip, tmp_path / "source.mkv", [dark, light])
    for covers, words in (
        ([light, dark], None),
        ([dark], "1 of 2 lost"),
        ([], "2 of 2 lost"),
        ([dark, jpeg(100)], "1 of 2 changed"),
        ([dark, light, jpeg(100)], "1 of 3 not in the source"),
    ):
        found = failures(verify(source, with_stills(clip, tmp_path / "result.mkv", covers)))
        assert found == ({} if words is None else {"cover pictures": words})


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cover_goes_through_our_sink_unchanged(clip: Path, tmp_path: Path, suffix: str) -> None:
    source, result = with_stills(clip, tmp_path / "source.mkv", [jpeg(30)]), tmp_path / f"large{suffix}"
    through_the_sink(source, result)
    verification = verify(source, result)
    assert failures(verification) == {}
    assert ("cover pictures", "1", "1") in {(check.name, check.source, check.result) for check in verification.checks}


def test_a_second_video_track_that_is_lost_is_told(clip: Path, tmp_path: Path) -> None:
    source = with_stills(clip, tmp_path / "source.mkv", [], videos=3)
    for videos, words in ((3, None), (1, "2 lost: only the first is upscaled"), (4, "1 that the source lacks")):
        found = failures(verify(source, with_stills(clip, tmp_path / "result.mkv", [], videos)))
        assert found == ({} if words is None else {"video tracks": words})
