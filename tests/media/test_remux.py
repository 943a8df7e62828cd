"""All but the picture is copied: sound, subtitles, chapters and attachments, in time, and cut with it."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.errors import OutputError
from lipt_stream.frame import VideoFormat
from lipt_stream.media.containers import writable_suffix
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.file_source import FileSource
from tests.film import flat_picture
from tests.media.remuxed import X264, packets, through


def picture_times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_sound_is_copied_bit_for_bit_and_stays_in_time(clip: Path, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out{suffix}"
    through(clip, target)
    before, after = packets(clip, "audio"), packets(target, "audio")
    assert [digest for _, digest in after] == [digest for _, digest in before]
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 40_000)
    assert max(abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True)) <= tick
    pictures = zip(picture_times(target), picture_times(clip), strict=True)
    assert max(abs(a - b) for a, b in pictures) <= (Fraction(1, 2000) if suffix == ".mkv" else 0)


def test_streams_are_interleaved_by_time(clip: Path, tmp_path: Path) -> None:
    through(clip, tmp_path / "out.mkv")
    latest = {"video": Fraction(0), "audio": Fraction(0)}
    with av.open(str(tmp_path / "out.mkv")) as container:
        for packet in container.demux():
            if packet.size and packet.dts is not None:
                latest[packet.stream.type] = packet.dts * packet.time_base
                assert abs(latest["video"] - latest["audio"]) < Fraction(1, 4)


def test_sound_is_cut_with_the_picture(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    through(clip, target, start_seconds=1.0, end_seconds=2.0)
    wanted = [(t - 1, digest) for t, digest in packets(clip, "audio") if 1 <= t < 2]
    got = packets(target, "audio")
    assert [digest for _, digest in got] == [digest for _, digest in wanted]
    assert max(abs(a - b) for (a, _), (b, _) in zip(got, wanted, strict=True)) <= Fraction(1, 40_000)
    assert len(picture_times(target)) == sum(1 <= t < 2 for t in picture_times(clip))


@pytest.fixture
def rich_film(clip: Path, tmp_path: Path) -> Path:
    """The clip in Matroska with two sound tracks, SubRip subtitles, chapters, an attachment and tags."""
    path = tmp_path / "rich.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sounds = [target.add_stream_from_template(source.streams.audio[0]) for _ in range(2)]
        text = target.add_mux_stream("subrip")
        text.time_base = Fraction(1, 1000)
        target.add_attachment("font.ttf", "font/ttf", b"not really a font")
        target.metadata.update({"title": "Flower", "comment": "from the garden"})
        video.metadata["title"] = "the picture"
        for sound, language in zip(sounds, ("eng", "deu"), strict=True):
            sound.metadata["language"] = language
        sounds[0].disposition = av.stream.Disposition(0)
        sounds[1].disposition = av.stream.Disposition.default
        text.metadata["language"] = "fra"
        text.disposition = av.stream.Disposition.forced
        unit = Fraction(1, 1000)
        target.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1500, "time_base": unit, "metadata": {"title": "bud"}},
                {"id": 2, "start": 1500, "end": 3000, "time_base": unit, "metadata": {"title": "bloom"}},
            ]
        )
        for start, words in ((200, b"hello"), (900, b"across the cut"), (2500, b"bye")):
            line = av.Packet(words)
            line.pts = line.dts = start
            line.duration, line.time_base, line.stream = 400, unit, text
            target.mux(line)
        for packet in source.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                packet.stream = video
                target.mux(packet)
            else:
                for sound in sounds:
                    packet.stream = sound
                    target.mux(packet)
    return path


def test_everything_that_is_not_picture_is_copied(rich_film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    sink = through(rich_film, target)
    for kind, index in (("audio", 0), ("audio", 1), ("subtitles", 0)):
        assert packets(target, kind, index) == packets(rich_film, kind, index)
    with av.open(str(rich_film)) as before, av.open(str(target)) as after:
        kinds = ["video", "audio", "audio", "subtitle", "attachment"]
        assert [s.type for s in after.streams] == [s.type for s in before.streams] == kinds
        assert [s.language for s in after.streams] == [s.language for s in before.streams]
        assert [s.disposition for s in after.streams] == [s.disposition for s in before.streams]
        assert [(c["start"], c["end"], c["metadata"]) for c in after.chapters()] == [
            (c["start"], c["end"], c["metadata"]) for c in before.chapters()
        ]
        assert after.metadata["title"] == "Flower"
        assert {key.lower(): value for key, value in after.metadata.items()}["comment"] == "from the garden"
        assert after.streams.video[0].metadata["title"] == "the picture"
        assert bytes(after.streams[4].data) == b"not really a font"  # type: ignore[union-attr]
        assert after.streams[4].metadata["filename"] == "font.ttf"
    assert not any("left out" in note for note in sink.notes)


def test_chapters_and_subtitles_are_cut_too(rich_film: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    through(rich_film, target, start_seconds=1.0, end_seconds=2.0)
    with av.open(str(target)) as container:
        chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in container.chapters()]
        assert chapters == [(0, Fraction(1, 2)), (Fraction(1, 2), 1)]
        lines = [(p.pts, p.duration, bytes(p)) for p in container.demux(subtitles=0) if p.size]
    assert lines == [(0, 300, b"across the cut")], "a line that is on the screen when the cut begins stays"


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        ({"end_seconds": 1.1}, [(200, 400, b"hello"), (900, 200, b"across the cut")]),
        ({"start_seconds": 1.0, "end_seconds": 1.2}, [(0, 200, b"across the cut")]),
    ],
)
def test_a_subtitle_on_the_screen_at_the_end_of_the_cut_goes_then(
    rich_film: Path, tmp_path: Path, cut: dict[str, float], kept: list[tuple[int, int, bytes]]
) -> None:
    """Or the file would last as long as it."""
    through(rich_film, tmp_path / "out.mkv", **cut)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [(p.pts, p.duration, bytes(p)) for p in container.demux(subtitles=0) if p.size] == kept


def test_sound_that_webm_cannot_hold_is_refused_by_name(clip: Path, tmp_path: Path) -> None:
    format = VideoFormat(width=64, height=64)
    encoder = choose_encoder("libsvtav1", suffix=".webm")
    with pytest.raises(OutputError, match=r"webm cannot hold audio of codec aac\. Write to \.mkv or \.mp4"):
        FileSink(tmp_path / "out.webm", format, encoder=encoder, copy_from=clip)
    assert list(tmp_path.iterdir()) == []


REAL = [
    ("subs_srt.mkv", ".mkv"),
    ("subs_vobsub.mkv", ".mkv"),
    ("subs_vobsub.mkv", ".mp4"),
    ("chapters_320x240_yuv444.mkv", ".mkv"),
    ("multi_audio_subs_two_video_nasa.mp4", ".mp4"),
    ("ffv1_bgr0_flac_reference.mkv", ".mkv"),
    ("theora_59.94fps.ogv", ".mkv"),
    ("sintel_854x480_5s.mp4", ".mov"),
    ("dolbyvision_hdr.mov", ".mp4"),
]


@pytest.mark.parametrize(("name", "suffix"), REAL, ids=[name + suffix for name, suffix in REAL])
def test_real_films_keep_their_streams(shared: Path, tmp_path: Path, name: str, suffix: str) -> None:
    folder = "clips" if name.startswith("sintel") else "torture"
    source, target = shared / "data/video" / folder / name, tmp_path / f"out{suffix}"
    sink = through(source, target, end_seconds=1.0)
    with av.open(str(source), metadata_errors="surrogateescape") as before, av.open(str(target)) as after:
        assert len(after.streams.audio) == len(before.streams.audio)
        assert len(after.streams.subtitles) == len(before.streams.subtitles)
        sounds = range(len(before.streams.audio))
        assert len(after.chapters()) <= len(before.chapters())
    for index in sounds:
        old_packets, new_packets = packets(source, "audio", index), packets(target, "audio", index)
        kept = [digest for _, digest in old_packets][: len(new_packets)]
        assert [digest for _, digest in new_packets] == kept
        assert len(new_packets) > 0
    assert sink.frames_written > 0
    assert len(sink.notes) == len(set(sink.notes))


def test_the_sound_of_an_old_telephone(tmp_path: Path) -> None:
    """AMR is held by MOV, which is why a .3gp becomes one."""
    film = tmp_path / "film.3gp"
    with av.open(str(film), "w") as target:
        picture = target.add_stream("h263", 25)
        picture.width, picture.height = 176, 144
        sound = target.add_stream("libopencore_amrnb", 8000, layout="mono")
        for number in range(5):
            target.mux(picture.encode(flat_picture(number, size=(176, 144))))
            block = av.AudioFrame.from_ndarray(np.zeros((1, 160), np.int16), "s16", "mono")
            block.sample_rate, block.pts, block.time_base = 8000, 160 * number, Fraction(1, 8000)
            target.mux(sound.encode(block))
        target.mux(picture.encode(None))
        target.mux(sound.encode(None))
    result = tmp_path / f"out{writable_suffix(film)}"
    through(film, result)
    assert [digest for _, digest in packets(result, "audio")] == [digest for _, digest in packets(film, "audio")]


def test_the_track_of_chapters_is_no_loss(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    with av.open(str(clip)) as source, av.open(str(film), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        titles = [
            {"id": n, "start": n, "end": n + 1, "time_base": Fraction(1), "metadata": {"title": str(n)}} for n in (0, 1)
        ]
        target.set_chapters(titles)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                target.mux(packet)
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "data"]
    sink = through(film, tmp_path / "out.mp4", end_seconds=1.5)
    assert not [note for note in sink.notes if "left out" in note]
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["0", "1"]


def test_a_stream_without_a_decoder_is_refused_by_what_is_known_of_it(tmp_path: Path) -> None:
    film = tmp_path / "broadcast.ts"
    with av.open(str(film), "w") as target:
        picture = target.add_stream("mpeg2video", 25)
        picture.width, picture.height = 64, 48
        text = target.add_mux_stream("dvb_teletext", time_base=Fraction(1, 90_000))
        text.metadata["language"] = "deu"
        for number in range(25):
            target.mux(picture.encode(flat_picture(number)))
            page = av.Packet(bytes(46 * 4))
            page.pts = page.dts = 3600 * number
            page.time_base, page.stream = Fraction(1, 90_000), text
            target.mux(page)
        target.mux(picture.encode(None))
    with closing(FileSource(film)) as source:
        video = source.format
    with pytest.raises(OutputError) as refusal:
        FileSink(tmp_path / "out.mkv", video, encoder=X264, copy_from=film)
    what = "subtitle of a codec for which there is no decoder here (stream 1, id 0x101), language deu,"
    assert f"{what} cannot be copied. Leave it out with --unfit drop." in str(refusal.value)
    sink = FileSink(tmp_path / "out.mkv", video, encoder=X264, copy_from=film, unfit="drop")
    assert f"{what} is left out, as asked: it cannot be copied" in sink.notes
    sink.abort()
