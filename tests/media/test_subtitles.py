"""Text subtitles across containers: another reader finds the same words at the same times."""

from __future__ import annotations

import re
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lipt_stream.errors import OutputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from tests.film import flat_picture

SMALL = VideoFormat(width=64, height=48, frame_rate=Fraction(25), time_base=Fraction(1, 25))
Lines = list[tuple[int, int, str]]
MARKED = {
    "subrip": "<i>slanted</i> and plain",
    "ass": "0,0,Default,,0,0,0,,{\\i1}slanted{\\i0} and plain",
    "webvtt": "<i>slanted</i> and plain",
    "mov_text": "slanted and plain",
}
ASS_HEADER = b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n"


def payload(codec: str, text: str) -> bytes:
    words = text.encode()
    return len(words).to_bytes(2, "big") + words if codec == "mov_text" else words


def write_subtitles(path: Path, codec: str, lines: Lines, keyframe_every: int = 250) -> Path:
    """A film of five pictures a second and one track of `lines` (start ms, duration ms, text)."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 5, options={"preset": "ultrafast", "g": str(keyframe_every)})
        video.width, video.height, video.codec_context.time_base = 64, 48, Fraction(1, 25)
        track = container.add_stream("ass") if codec == "ass" else container.add_mux_stream(codec)
        if codec == "ass":
            track.codec_context.subtitle_header = ASS_HEADER
        track.time_base = Fraction(1, 1000)
        track.metadata["language"], track.metadata["title"] = "fra", "words"
        track.disposition = av.stream.Disposition.forced
        for n in range(5 + max(start + duration for start, duration, _ in lines) // 200):
            container.mux(video.encode(flat_picture(5 * n)))
        container.mux(video.encode(None))
        for start, duration, text in lines:
            packet = av.Packet(payload(codec, text))
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = duration, Fraction(1, 1000), track
            container.mux(packet)
    return path


def copy_into(source: Path, target: Path, ticks: int = 25, **cut: float) -> FileSink:
    """Beside pictures that are `ticks` of 40 ms apart."""
    encoder = choose_encoder("libsvtav1" if target.suffix == ".webm" else "libx264", suffix=target.suffix)
    sink = FileSink(target, SMALL, encoder=encoder, copy_from=source, **cut)
    planes = SMALL.new_planes()
    for n in range(100 // ticks):
        sink.write(Frame(index=n, pts=ticks * n, duration=ticks, planes=planes))
    sink.close()
    return sink


def shown(path: Path) -> list[tuple[float, float, str]]:
    """(start, end, words) of the first subtitle track, as PyAV decodes it."""
    lines = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            if not packet.size:
                continue
            for words in stream.codec_context.decode2(packet) or ():
                start = float(packet.pts * packet.time_base)
                lines.append((start, start + float(packet.duration * packet.time_base), words.dialogue.decode()))
    return lines


HOME = {"subrip": ".mkv", "ass": ".mkv", "webvtt": ".mkv", "mov_text": ".mp4"}
ROUTES = [
    ("subrip", ".mp4", "mov_text"),
    ("subrip", ".mov", "mov_text"),
    ("ass", ".mp4", "mov_text"),
    ("webvtt", ".mp4", "mov_text"),
    ("mov_text", ".mkv", "subrip"),
    ("subrip", ".webm", "webvtt"),
]


@pytest.mark.parametrize(("codec", "suffix", "becomes"), ROUTES)
def test_words_and_times_are_kept(tmp_path: Path, codec: str, suffix: str, becomes: str) -> None:
    ass = "0,0,Default,,0,0,0,," if codec == "ass" else ""
    lines = [(500, 700, ass + "first"), (1200, 400, MARKED[codec]), (3000, 900, ass + "déjà vu\nzwei Zeilen")]
    if codec == "ass":
        lines[2] = (3000, 900, ass + "déjà vu\\Nzwei Zeilen")
    source = write_subtitles(tmp_path / f"source{HOME[codec]}", codec, lines)
    target = tmp_path / f"out{suffix}"
    sink = copy_into(source, target)
    got = shown(target)
    assert [(start, end) for start, end, _ in got] == [(0.5, 1.2), (1.2, 1.6), (3.0, 3.9)]
    words = [re.sub(r"\{[^}]*\}", "", text).replace("\\N", "\n") for _, _, text in got]
    assert words == ["first", "slanted and plain", "déjà vu\nzwei Zeilen"]
    if codec != "mov_text":
        assert "\\i1" in got[1][2], "italics survive"
    with av.open(str(target)) as container:
        track = container.streams.subtitles[0]
        assert track.codec_context.codec.canonical_name == becomes
        assert track.language == "fra"
        assert (track.metadata.get("title") or track.metadata.get("name")) == "words", "MP4's is read as a name"
        assert track.disposition & av.stream.Disposition.forced or suffix == ".mov"
    assert f"{codec} subtitles become {becomes}: styles may be lost" in sink.notes


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 3000)), min_size=1, max_size=8),
    suffix=st.sampled_from([".mp4", ".mkv"]),
)
def test_any_times(tmp_path_factory: pytest.TempPathFactory, gaps: list[tuple[int, int]], suffix: str) -> None:
    """With gaps, without, and long after the last picture."""
    lines: Lines = []
    time = 0
    for gap, duration in gaps:
        lines.append((time + gap, duration, f"line {len(lines)}"))
        time += gap + duration
    codec = "subrip" if suffix == ".mp4" else "mov_text"
    folder = tmp_path_factory.mktemp("times")
    source = write_subtitles(folder / f"source{HOME[codec]}", codec, lines)
    copy_into(source, folder / f"out{suffix}")
    expected = [(start / 1000, (start + duration) / 1000, text) for start, duration, text in lines]
    assert [words for *_, words in shown(folder / f"out{suffix}")] == [words for *_, words in expected]
    for (start, end, _), (wanted_start, wanted_end, _) in zip(shown(folder / f"out{suffix}"), expected, strict=True):
        assert start == pytest.approx(wanted_start, abs=1e-3)
        assert end == pytest.approx(wanted_end, abs=1e-3)
    assert all(a[0] < b[0] for a, b in pairwise(expected))


def test_lines_may_overlap(tmp_path: Path) -> None:
    lines = [(0, 900, "long"), (100, 100, "one"), (100, 100, "two"), (700, 100, "three")]
    copy_into(write_subtitles(tmp_path / "source.mkv", "subrip", lines), tmp_path / "out.mkv", ticks=1)
    assert [(round(1000 * start), round(1000 * (end - start))) for start, end, _ in shown(tmp_path / "out.mkv")] == [
        (start, length) for start, length, _ in lines
    ]


def test_lines_that_overlap_are_told_where_the_container_knows_no_such_thing(tmp_path: Path) -> None:
    lines = [(0, 900, "long"), (100, 100, "one"), (1000, 100, "two")]
    source = write_subtitles(tmp_path / "source.mkv", "subrip", lines)
    told = [
        [note for note in copy_into(source, tmp_path / name, ticks=1).notes if "has ended" in note]
        for name in ("out.mkv", "out.mp4")
    ]
    words = "1 times the subtitle of codec subrip begins before the last has ended; .mp4 shows one after the other"
    assert told == [[], [f"{words}, the later ones late"]]


def test_pauses_between_lines_are_not_doubled(tmp_path: Path) -> None:
    """MP4 fills them with empty samples, which the reader hands on and the writer makes anew."""
    source = write_subtitles(tmp_path / "source.mp4", "mov_text", [(0, 300, "one"), (500, 200, "two")])
    copy_into(source, tmp_path / "out.mp4", ticks=1)
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            lines = [(p.pts, p.duration, bytes(p)[2:]) for p in container.demux(subtitles=0) if p.size]
        assert lines[:3] == [(0, 300, b"one"), (300, 200, b""), (500, 200, b"two")]


def test_a_cut_line_is_cut_after_conversion_too(tmp_path: Path) -> None:
    lines = [(200, 300, "gone"), (900, 600, "across"), (2500, 400, "kept")]
    source = write_subtitles(tmp_path / "source.mkv", "subrip", lines)
    copy_into(source, tmp_path / "out.mp4", start_seconds=1.0)
    assert shown(tmp_path / "out.mp4") == [(0.0, 0.5, "across"), (1.5, 1.9, "kept")]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(
    ("begin", "end", "cut"), [(0.5, 4.5, 3.0), (20.0, 70.0, 65.0)], ids=["near the beginning", "a minute in"]
)
def test_a_line_that_began_before_the_last_keyframe_is_kept(
    tmp_path: Path, suffix: str, begin: float, end: float, cut: float
) -> None:
    """In Matroska it lies before the keyframe from which the pictures of the cut are read."""
    on_screen = (round(begin * 1000), round((end - begin) * 1000), "on the screen")
    lines = [(0, 300, "gone"), on_screen, (round(end * 1000) + 500, 400, "kept")]
    codec = "subrip" if suffix == ".mkv" else "mov_text"
    source = write_subtitles(tmp_path / f"source{suffix}", codec, lines, keyframe_every=5)
    copy_into(source, tmp_path / f"out{suffix}", start_seconds=cut)
    left = end - cut
    assert shown(tmp_path / f"out{suffix}") == [(0.0, left, "on the screen"), (left + 0.5, left + 0.9, "kept")]


def test_pictures_of_words_are_refused_by_name_before_any_work(shared: Path, tmp_path: Path) -> None:
    """VobSub is pictures: MOV and WebM hold neither those nor can they be made text."""
    vobsub = shared / "data/video/torture/subs_vobsub.mkv"
    with pytest.raises(OutputError, match=r"mov cannot hold subtitle of codec dvd_subtitle\. Write to \.mkv or \.mp4"):
        copy_into(vobsub, tmp_path / "out.mov")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "suffix"), [("subs_srt.mkv", ".mp4"), ("multi_audio_subs_two_video_nasa.mp4", ".mkv")]
)
def test_real_subtitles(shared: Path, tmp_path: Path, name: str, suffix: str) -> None:
    source = shared / "data/video/torture" / name
    copy_into(source, tmp_path / f"out{suffix}")
    before, after = shown(source), shown(tmp_path / f"out{suffix}")
    assert [words.strip() for *_, words in after] == [words.strip() for *_, words in before]
    for (start, end, _), (wanted_start, wanted_end, _) in zip(after, before, strict=True):
        assert start == pytest.approx(wanted_start, abs=2e-3)
        assert end == pytest.approx(wanted_end, abs=2e-3)
