"""NAME.part belongs to the run that made it: what another run or anybody else has there is neither emptied nor lost."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path

import av
import pytest

from lipt_stream.errors import OutputError
from lipt_stream.frame import Frame, VideoFormat
from lipt_stream.media.encoder_choice import choose_encoder
from lipt_stream.media.file_sink import FileSink

SMALL = VideoFormat(width=64, height=48)
X264 = choose_encoder("libx264", options={"preset": "ultrafast"})


def sink_of(path: Path, *, frames: int = 2, copy_from: Path | None = None, overwrite: bool = False) -> FileSink:
    sink = FileSink(path, SMALL, encoder=X264, copy_from=copy_from, overwrite=overwrite)
    for n in range(frames):
        sink.write(Frame(index=n, pts=3600 * n, duration=3600, planes=SMALL.new_planes()))
    return sink


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_part_that_is_the_source_itself_is_refused(clip: Path, tmp_path: Path, overwrite: bool) -> None:
    source = Path(shutil.copy(clip, tmp_path / "film.mp4.part"))
    words = r"Cannot write .*film\.mp4: film\.mp4\.part, as it is called until .* is the source itself\. Choose another"
    with pytest.raises(OutputError, match=words):
        sink_of(tmp_path / "film.mp4", copy_from=source, overwrite=overwrite)
    assert contents(tmp_path) == {"film.mp4.part": clip.read_bytes()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_a_killed_run_left_is_set_aside_and_no_partial_result_is_replaced(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "film.partial.mp4").write_bytes(b"of the run before that")
    (tmp_path / "film.mp4.part").write_bytes(b"hours of work")
    sink = sink_of(tmp_path / "film.mp4", overwrite=overwrite)
    assert [note for note in sink.notes if str(tmp_path / "film.partial-2.mp4") in note] == sink.notes
    kept = sink.abort()
    assert kept == tmp_path / "film.partial-3.mp4"
    assert frames_of(kept) == 2
    left = contents(tmp_path)
    assert left.pop(kept.name)
    assert left == {"film.partial.mp4": b"of the run before that", "film.partial-2.mp4": b"hours of work"}


def test_an_empty_part_is_taken_over_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "film.mp4.part").touch()
    sink = sink_of(tmp_path / "film.mp4")
    sink.close()
    assert sink.notes == []
    assert list(contents(tmp_path)) == ["film.mp4"]
    assert frames_of(tmp_path / "film.mp4") == 2


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_second_run_on_one_output_is_refused_and_the_first_goes_on(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    first = sink_of(path, frames=3)
    for _ in range(2):
        with pytest.raises(OutputError, match=f"film{suffix}: another run writes it") as refusal:
            sink_of(path, overwrite=True)
        assert str(refusal.value).endswith(".")
    first.finish()
    with pytest.raises(OutputError, match="another run writes it"):
        sink_of(path, overwrite=True)
    first.close()
    assert list(contents(tmp_path)) == [path.name]
    assert frames_of(path) == 3
    sink_of(path, overwrite=True).close()
    assert frames_of(path) == 2


def test_the_next_run_may_write_once_the_last_was_aborted(tmp_path: Path) -> None:
    for _ in range(2):
        sink_of(tmp_path / "film.mp4", frames=0).abort()
    sink_of(tmp_path / "film.mp4").close()
    assert list(contents(tmp_path)) == ["film.mp4"]


def test_a_part_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4.part")
    (tmp_path / "folder.mp4.part").mkdir()
    for name, words in (("pipe.mp4", "is a pipe or a device"), ("folder.mp4", "is a directory")):
        with pytest.raises(OutputError, match=rf"{name}: {name}\.part, .*{words}"):
            sink_of(tmp_path / name)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_abort_that_is_interrupted_still_gives_the_part_its_partial_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second Ctrl-C while the encoder is drained, as the signal's handler raises it."""
    sink = sink_of(tmp_path / "film.mkv", frames=60)

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sink, "_drain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sink.abort()
    assert sink.abort() == tmp_path / "film.partial.mkv", "whoever was interrupted can still ask"
    assert list(contents(tmp_path)) == ["film.partial.mkv"]
    assert frames_of(tmp_path / "film.partial.mkv") > 0


@pytest.mark.skipif(sys.platform == "win32", reason="an open file is safe there")
def test_where_there_are_no_locks_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS without its lock daemon."""

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    sink = sink_of(tmp_path / "film.mp4")
    sink.close()
    assert sink.notes == ["a second run on this output is not refused: locking fails here (No locks available)"]
    assert frames_of(tmp_path / "film.mp4") == 2


@pytest.mark.parametrize("length", [248, 250])
def test_a_name_too_long_to_be_kept_as_partial_is_refused_before_any_work(tmp_path: Path, length: int) -> None:
    with pytest.raises(OutputError, match=r"[Tt]he name is too long"):
        sink_of(tmp_path / ("x" * (length - 4) + ".mkv"))
    assert not list(tmp_path.iterdir())
