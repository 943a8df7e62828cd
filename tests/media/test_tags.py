"""Tags, languages and flags: a container holds them, or a note names them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.audit import read_film
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink
from lipt_stream.media.tags import fitting_tags, lost_flags, lost_tags, timecode_in
from tests.media.remuxed import through

NUMBERS = "compilation disc episode_sort gapless_playback hd_video media_type rating season_number tmpo track"
WORDS = (
    "album album_artist artist author comment composer copyright description director encoded_by "
    "episode_id genre grouping keywords lyrics make model network publisher show synopsis title"
)
TAGS = (
    dict.fromkeys(NUMBERS.split(), "3")
    | {key: f"some {key}" for key in WORDS.split()}
    | {"creation_time": "2020-01-02T03:04:05Z", "date": "2021", "location": "+27.5916+086.5640/"}
)
LOST_IN_MP4 = "author director encoded_by make model publisher rating tmpo"
LOST_IN_MOV = (
    "album_artist author compilation composer description director disc encoded_by episode_id "
    "episode_sort gapless_playback grouping hd_video keywords lyrics media_type network publisher rating "
    "season_number show synopsis tmpo track"
)


def copied(source: Path, target: Path, **cut: float) -> FileSink:
    """A picture beside all that can be copied of `source`."""
    sink = FileSink(
        target, VideoFormat(width=64, height=48), encoder=choose_encoder("libx264"), copy_from=source, **cut
    )
    sink.write(Frame(index=0, pts=0, duration=3600, planes=sink.format.new_planes()))
    sink.close()
    return sink


def retold(
    clip: Path,
    path: Path,
    *,
    film: dict[str, str] | None = None,
    picture: dict[str, str] | None = None,
    sound: dict[str, str] | None = None,
    flags: Disposition | None = None,
) -> Path:
    """The clip with these tags, and these flags of its sound."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        target.metadata.update(film or {})
        target.streams.video[0].metadata.update(picture or {})
        target.streams.audio[0].metadata.update(sound or {})
        if flags is not None:
            target.streams.audio[0].disposition = flags
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    return path


@pytest.mark.parametrize(("suffix", "lost"), [(".mp4", LOST_IN_MP4), (".mov", LOST_IN_MOV), (".mkv", "")])
def test_every_tag_is_held_or_named(clip: Path, tmp_path: Path, suffix: str, lost: str) -> None:
    film = retold(clip, tmp_path / "film.mkv", film=TAGS)
    result = tmp_path / f"out{suffix}"
    notes = copied(film, result).notes
    with av.open(str(film)) as before, av.open(str(result)) as after:
        wanted, found = ({key.lower(): v for key, v in film.metadata.items()} for film in (before, after))
    told = [note for note in notes if "has no place for the tags" in note]
    named = told[0].partition(" the tags ")[2].lower().split(", ") if told else []
    assert sorted(named) == lost.split()
    for key in TAGS.keys() - set(named) - {"creation_time"}:
        assert found[key] == wanted[key], key


def test_a_place_is_held_though_it_is_written_with_other_zeros() -> None:
    for format in ("mp4", "mov"):
        assert lost_tags({"location": "+40.6800-74.4999/", "location-eng": "+40.6800-74.4999/"}, format) == []


def test_a_value_that_mp4_cannot_hold_is_named() -> None:
    assert lost_tags({"track": "3/12", "compilation": "1"}, "mp4") == []
    assert lost_tags({"track": "side A", "compilation": "yes"}, "mp4") == ["compilation", "track"]


def test_an_author_is_no_artist_where_there_is_one() -> None:
    assert fitting_tags({"ARTIST": "one", "AUTHOR": "two"}, "mov") == {"ARTIST": "one"}
    assert lost_tags({"ARTIST": "one", "AUTHOR": "two"}, "mov") == ["AUTHOR"]
    assert lost_tags({"author": "two"}, "mov") == []


def test_tags_of_streams_are_named(clip: Path, tmp_path: Path) -> None:
    film = retold(clip, tmp_path / "film.mkv", sound={"title": "low", "microphone": "two"})
    notes = copied(film, tmp_path / "out.mp4").notes
    assert ".mp4 has no place for the tag MICROPHONE of the audio of codec aac" in notes
    with av.open(str(tmp_path / "out.mp4")) as result:
        assert result.streams.audio[0].metadata["name"] == "low"


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_films_moment_is_that_of_its_tracks(clip: Path, tmp_path: Path, suffix: str) -> None:
    """As cameras and telephones write it."""
    notes = copied(clip, tmp_path / f"out{suffix}").notes
    assert not [note for note in notes if "creation_time" in note]
    with av.open(str(clip)) as film, av.open(str(tmp_path / f"out{suffix}")) as result:
        moment = film.metadata["creation_time"]
        assert [stream.metadata["creation_time"] for stream in (*film.streams, *result.streams)] == [moment] * 4
    assert lost_tags({"creation_time": moment}, suffix[1:], of_stream=True) == ["creation_time"]


LANGUAGES = {"eng": "eng", "fre": "fra", "fra": "fra", "deu": "ger", "swe": "sve", "zho": "chi", "hrv": "hr "}


@pytest.mark.parametrize("language", LANGUAGES)
def test_mov_knows_a_language_by_the_name_of_its_table(clip: Path, tmp_path: Path, language: str) -> None:
    film, result = retold(clip, tmp_path / "film.mkv", sound={"language": language}), tmp_path / "out.mov"
    notes = copied(film, result).notes
    with av.open(str(result)) as container:
        assert container.streams.audio[0].language == LANGUAGES[language]
    assert not [note for note in notes if "language" in note]


def test_a_language_comes_back_from_mov(clip: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.mov"
    copied(retold(clip, tmp_path / "first.mkv", sound={"language": "hrv"}), film)
    for suffix in (".mkv", ".mp4"):
        copied(film, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.audio[0].language == "hrv"


def test_a_language_that_mov_does_not_know_is_named(clip: Path, tmp_path: Path) -> None:
    film = retold(clip, tmp_path / "film.mkv", sound={"language": "gle"})
    sound = "of the audio of codec aac"
    assert f".mov has no place for the language gle {sound}" in copied(film, tmp_path / "out.mov").notes
    assert not [note for note in copied(film, tmp_path / "out.mp4").notes if "language" in note]


def test_flags_that_mov_does_not_hold_are_named(clip: Path, tmp_path: Path) -> None:
    flags = Disposition.default | Disposition.comment | Disposition.forced
    film = retold(clip, tmp_path / "film.mkv", flags=flags)
    notes = copied(film, tmp_path / "out.mov").notes
    assert ".mov has no place for the comment flag, the forced flag of the audio of codec aac" in notes
    assert lost_flags(flags, "mp4") == lost_flags(flags, "matroska") == []


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_timecode_is_that_of_the_beginning(clip: Path, tmp_path: Path, suffix: str) -> None:
    timecode, film = "01:00:00:12", tmp_path / "film.mov"
    copied(retold(clip, tmp_path / "first.mkv", picture={"timecode": timecode}), film)
    with av.open(str(film)) as container:
        assert timecode_in(container.streams.video[0].metadata) == timecode
        assert [stream.type for stream in container.streams] == ["video", "audio", "data"], "it has a track of its own"
    whole, rest = tmp_path / f"whole{suffix}", tmp_path / f"rest{suffix}"
    whole_notes, rest_notes = copied(film, whole).notes, copied(film, rest, start_seconds=1.0).notes
    with av.open(str(whole)) as container:
        assert timecode_in(container.streams.video[0].metadata) == timecode
    with av.open(str(rest)) as container:
        assert timecode_in(container.streams.video[0].metadata) is None
    left_out = f"the timecode {timecode} is left out: it is that of the film's beginning, which is cut off"
    assert (left_out in rest_notes, left_out in whole_notes) == (True, False)
    assert not [note for note in whole_notes + rest_notes if "type data" in note or "no place" in note]


@pytest.mark.parametrize(("rate", "lost"), [(Fraction(30_000, 1_001), []), (Fraction(25), ["timecode"])])
def test_a_timecode_that_drops_pictures_goes_with_few_rates(rate: Fraction, lost: list[str]) -> None:
    for of_stream in (True, False):
        assert lost_tags({"timecode": "01:00:00;12"}, "mov", of_stream=of_stream, rate=rate) == lost


def test_tags_that_mp4_has_no_place_for_are_named(clip: Path, tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.mkv"
    with av.open(str(clip)) as source, av.open(str(tagged), "w") as target:
        copied = target.add_stream_from_template(source.streams.video[0])
        target.metadata.update({"title": "Flower", "GARDENER": "me"})
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copied
                target.mux(packet)
    sink = through(tagged, tmp_path / "out.mp4", end_seconds=0.2)
    assert ".mp4 has no place for the tags GARDENER" in sink.notes
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.metadata["title"] == "Flower"


def test_tags_in_an_old_encoding_are_kept_as_text(clip: Path, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 cannot be written; Latin-1 is what old programs wrote."""
    source = tmp_path / "old.mkv"
    with av.open(str(clip)) as original, av.open(str(source), "w") as target:
        target.metadata["title"] = "Kaf@ am Fluss"
        streams = {s.index: target.add_stream_from_template(s) for s in original.streams}
        streams[1].metadata["title"] = "fran@ais"
        for packet in original.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    source.write_bytes(source.read_bytes().replace(b"Kaf@", b"Kaf\xe9").replace(b"fran@ais", b"fran\xe7ais"))
    for suffix in (".mkv", ".mp4"):
        result = tmp_path / f"new{suffix}"
        sink = FileSink(result, VideoFormat(width=64, height=48), encoder=choose_encoder("libx264"), copy_from=source)
        sink.write(Frame(index=0, pts=0, duration=3600, planes=sink.format.new_planes()))
        sink.close()
        assert read_film(source).metadata["title"] == read_film(result).metadata["title"]
        with av.open(str(result)) as container:
            assert container.metadata["title"] == "Kafé am Fluss"
            if suffix == ".mkv":
                assert container.streams.audio[0].metadata["title"] == "français"
