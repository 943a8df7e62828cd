"""Transport streams as they are recorded: with holes, cut anywhere, joined end to end, their clock jumping."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipt_stream import PipelineSpec, upscale_file
from lipt_stream.media.decoder import VideoDecoder, origin_seconds
from lipt_stream.media.timeline import FileClock
from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through, times

PACKET = 188
RATE = 48_000
Record = Callable[..., bytes]


def write_part(path: Path, begin_seconds: int = 0, seconds: int = 1, *, sound: bool = True) -> None:
    """A second of H.264 with B-frames, and AAC."""
    with av.open(str(path), "w") as target:
        options = {"bf": "2", "g": "12", "preset": "ultrafast"}
        picture = target.add_stream("libx264", 25, options=options)
        picture.width, picture.height = 64, 48
        track = target.add_stream("aac", RATE, layout="mono") if sound else None
        for number in range(25 * seconds):
            target.mux(picture.encode(flat_picture(25 * begin_seconds + number, 20 + 8 * number % 200)))
        for start in range(0, RATE * seconds, 1024) if track else ():
            tone = (8000 * np.sin(np.arange(start, start + 1024) / 20)).astype(np.float32) / 32768
            block = av.AudioFrame.from_ndarray(tone[np.newaxis], format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE, RATE * begin_seconds + start, Fraction(1, RATE)
            target.mux(track.encode(block))
        target.mux(picture.encode(None))
        target.mux(track.encode(None) if track else [])


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A recording as the bytes of a transport stream."""

    def write(begin_seconds: int = 0, seconds: int = 1) -> bytes:
        write_part(tmp_path / "recording.ts", begin_seconds, seconds)
        return (tmp_path / "recording.ts").read_bytes()

    return write


def pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(len(packet.decode()) for packet in container.demux(video=0))


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("lost_bytes", [PACKET * 10, 1000])
def test_a_hole_loses_what_was_in_it_and_no_more(record: Record, tmp_path: Path, suffix: str, lost_bytes: int) -> None:
    """Its edges leave half an AAC packet, which no muxer takes."""
    recording = bytearray(record(seconds=2))
    middle = len(recording) // PACKET // 2 * PACKET
    del recording[middle : middle + lost_bytes]
    film = tmp_path / "film.ts"
    film.write_bytes(recording)
    notes = through(film, tmp_path / f"out{suffix}")
    assert pictures(tmp_path / f"out{suffix}") == pictures(film)
    assert len(times(tmp_path / f"out{suffix}", "audio")) >= len(times(film, "audio")) - 2
    assert [note for note in notes if "damaged packets of the audio of codec aac are left out" in note]


@pytest.mark.parametrize(("first", "second"), [(0, 0), (100, 0), (0, 50_000), (50_000, 3)], ids=str)
def test_recordings_joined_are_one_film(record: Record, tmp_path: Path, first: int, second: int) -> None:
    """What comes second goes on where the first ended, sound and pictures together."""
    film = tmp_path / "film.ts"
    film.write_bytes(record(first) + record(second))
    notes = through(film, tmp_path / "out.mkv")
    assert "the file's clock jumps once; what follows is put behind what came before" in notes
    shown = times(tmp_path / "out.mkv", "video")
    assert len(shown) == 50
    assert all(later - earlier == pytest.approx(0.04, abs=0.0011) for earlier, later in pairwise(shown))
    heard = times(tmp_path / "out.mkv", "audio")
    half = len(heard) // 2
    # Each half as far from its pictures as it was: the encoder's first packet comes 21 ms before them.
    assert heard[half] - shown[25] == pytest.approx(heard[0] - shown[0], abs=0.005)
    assert heard[-1] == pytest.approx(shown[-1], abs=0.1)
    checks = {check.name: check.detail for check in verify(film, tmp_path / "out.mkv").failed}
    assert checks == {}


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_a_recording_whose_clock_counts_from_far_off_begins_at_zero(
    record: Record, tmp_path: Path, suffix: str
) -> None:
    film, out = tmp_path / "film.ts", tmp_path / f"out{suffix}"
    film.write_bytes(record(50_000))
    report = upscale_file(film, out, spec=PipelineSpec(model="nano", device="cpu"))
    assert report.ok, report.checks
    assert any(note.startswith("the recording's clock begins at 500") for note in report.notes), report.notes
    shown, heard = times(out, "video"), times(out, "audio")
    assert 0 <= min(shown[0], heard[0]) < 0.05
    before = times(film, "audio")[0] - times(film, "video")[0]
    assert heard[0] - shown[0] == pytest.approx(before, abs=0.0021)
    with av.open(str(out)) as container:
        assert container.duration < 1.5 * av.time_base
    through(film, tmp_path / f"same{suffix}")
    assert {check.name: check.detail for check in verify(film, tmp_path / f"same{suffix}").failed} == {}


def test_a_cut_deep_in_a_recording_is_reached_by_seeking(record: Record, tmp_path: Path) -> None:
    """A transport stream's seeking lands too late at first; going further back must not look like a jump."""
    film, start = tmp_path / "film.ts", 28
    film.write_bytes(record(seconds=30))
    with closing(VideoDecoder(film, 1)) as decoder:
        wanted = round((origin_seconds(decoder.stream) + start) / decoder.stream.time_base)
        shown = [picture.pts for picture in decoder.pictures_from(wanted)]
        assert shown[0] <= wanted
        assert len([pts for pts in shown if pts >= wanted]) == 50
        assert decoder.packets < 13 * 25, "ten seconds before it, a group of pictures, and what follows"


@pytest.mark.parametrize(("first", "second"), [(0, 0), (100, 0), (0, 50_000)], ids=str)
@pytest.mark.parametrize("start", [0.4, 1.4])
def test_a_cut_counts_through_the_joint(record: Record, tmp_path: Path, first: int, second: int, start: float) -> None:
    """Times come twice in such a file, or not at all: seeking by them would lead elsewhere."""
    film = tmp_path / "film.ts"
    film.write_bytes(record(first) + record(second))
    through(film, tmp_path / "whole.mkv")
    through(film, tmp_path / "out.mkv", start_seconds=start)
    for kind in ("video", "audio"):
        whole = [time - start for time in times(tmp_path / "whole.mkv", kind)]
        origin = times(tmp_path / "whole.mkv", "video")[0]
        wanted = [time - origin for time in whole if time - origin >= -0.0005]
        assert times(tmp_path / "out.mkv", kind) == pytest.approx(wanted, abs=0.0021)


@pytest.mark.parametrize("begin", [0, 50_000])
def test_sound_that_comes_before_the_first_picture_of_its_part_stays_with_it(
    record: Record, tmp_path: Path, begin: int
) -> None:
    """Where the second part begins in mid-air, its sound is read before any picture tells that the clock has jumped."""
    recording = record(begin, seconds=2)
    second = [recording[n : n + PACKET] for n in range(0, len(recording), PACKET)]
    pids = [int.from_bytes(packet[1:3], "big") & 0x1FFF for packet in second]
    video, sound = pids[3], next(pid for pid in pids[3:] if pid not in (0, pids[3]))
    begins = [n for n, packet in enumerate(second) if pids[n] == video and packet[1] & 0x40 and n > pids.index(sound)]
    film = tmp_path / "film.ts"
    kept = [packet for n, packet in enumerate(second) if pids[n] != video or n >= begins[0]]
    film.write_bytes(record(seconds=2) + b"".join(kept))
    through(film, tmp_path / "out.mkv")
    shown, heard = times(tmp_path / "out.mkv", "video"), times(tmp_path / "out.mkv", "audio")
    assert heard[-1] == pytest.approx(shown[-1], abs=0.1)
    assert max(later - earlier for earlier, later in pairwise(heard)) < 0.1
    checks = {check.name: check.detail for check in verify(film, tmp_path / "out.mkv").failed}
    assert checks == {}


def test_a_joint_in_matroska_keeps_sound_and_picture_together(tmp_path: Path) -> None:
    """FFmpeg loses the decoding delay there, so that only presentation times tell where the first part ends."""
    write_part(tmp_path / "part.mkv")
    (tmp_path / "film.mkv").write_bytes((tmp_path / "part.mkv").read_bytes() * 2)
    through(tmp_path / "film.mkv", tmp_path / "out.mkv")
    shown = times(tmp_path / "out.mkv", "video")
    assert [later - earlier for earlier, later in pairwise(shown)] == pytest.approx([0.04] * 49, abs=0.0011)
    heard = times(tmp_path / "out.mkv", "audio")
    half = len(heard) // 2
    assert heard[half + 3] - shown[25] == pytest.approx(heard[3] - shown[0], abs=0.005)


def test_the_header_of_a_second_part_does_not_become_a_second_track(tmp_path: Path) -> None:
    """FLV's reader hands the codec's header on with the packet behind it, and Matroska's writer writes it again."""
    write_part(tmp_path / "part.flv")
    part = (tmp_path / "part.flv").read_bytes()
    (tmp_path / "film.flv").write_bytes(part + part[13:])  # behind the file's own header
    through(tmp_path / "film.flv", tmp_path / "out.mkv")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert pictures(tmp_path / "out.mkv") == 50
    checks = {check.name: check.detail for check in verify(tmp_path / "film.flv", tmp_path / "out.mkv").failed}
    assert checks == {}


def edit_list(film: bytes, *entries: tuple[int, int]) -> bytes:
    """An MP4 of one track, whose edit list becomes `entries`: (duration, start in the track), in milliseconds."""
    at = film.index(b"edts") - 4
    size = int.from_bytes(film[at : at + 4], "big")
    unit = int.from_bytes(film[film.index(b"mdhd") + 16 :][:4], "big")
    body = b"".join(struct.pack(">IiI", span, start * unit // 1000, 1 << 16) for span, start in entries)
    edits = struct.pack(">I4sI4sII", 24 + len(body), b"edts", 16 + len(body), b"elst", 0, len(entries)) + body
    changed = bytearray(film[:at] + edits + film[at + size :])
    for box in (b"moov", b"trak"):
        place = changed.index(box) - 4
        longer = int.from_bytes(changed[place : place + 4], "big") + len(edits) - size
        changed[place : place + 4] = longer.to_bytes(4, "big")
    return bytes(changed)


def test_an_edit_list_that_goes_back_is_no_joint(tmp_path: Path) -> None:
    """Its times go on; those of the pictures that are decoded and not shown do not."""
    write_part(tmp_path / "part.mp4", seconds=3, sound=False)
    film = tmp_path / "film.mp4"
    film.write_bytes(edit_list((tmp_path / "part.mp4").read_bytes(), (800, 0), (800, 80)))
    notes = through(film, tmp_path / "out.mp4")
    assert not [note for note in notes if "jumps" in note]
    checks = {check.name: check.detail for check in verify(film, tmp_path / "out.mp4").failed}
    assert checks == {}


STEP = Fraction(1, 25)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=5), st.integers(2, 40))
def test_the_clock_goes_on_through_every_jump_back(starts: list[int], count: int) -> None:
    clock = FileClock("mpegts")
    on_the_clock: list[Fraction] = []
    for start in starts:
        for number in range(count):
            time = Fraction(start) + number * STEP
            clock.saw(time, time, STEP)
            on_the_clock.append(time + clock.offset)
    steps = [later - earlier for earlier, later in pairwise(on_the_clock)]
    assert all(0 < step <= 10 or abs(step) < Fraction(1, 2) for step in steps)
    assert clock.jumps < len(starts)


@given(st.lists(st.integers(-12, 250), max_size=60))
def test_a_clock_that_does_not_jump_is_left_alone(steps: list[int]) -> None:
    """Times that slip back a little, and pauses, are the film's own."""
    clock, time = FileClock("matroska,webm"), Fraction(100)
    latest = time
    for step in steps:
        time = max(time + step * STEP, latest - Fraction(49, 100))
        clock.saw(time, time, STEP)
        latest = max(latest, time)
        assert (clock.offset, clock.jumps) == (0, 0) or time < latest - Fraction(1, 2)
