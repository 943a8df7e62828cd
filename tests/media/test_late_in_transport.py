"""Streams of a transport stream that begin where FFmpeg no longer looks for any."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lipt_stream.media.late_in_transport import late_in_transport
from lipt_stream.verify.audit import verify
from tests.film import flat_picture, through

NULL = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 33_000  # 6 MB: FFmpeg looks at five


def recording(path: Path, first_pid: int, *, with_sound: bool = True, first: int = 0) -> bytes:
    """A second of film, of a service of its own."""
    options = {"mpegts_start_pid": str(first_pid), "mpegts_service_id": str(first_pid)}
    options["mpegts_pmt_start_pid"] = str(4096 + first_pid)
    with av.open(str(path), "w", format="mpegts", options=options) as container:
        video = container.add_stream("mpeg2video", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("mp2", 48_000, layout="mono") if with_sound else None
        for number in range(first, first + 25):
            container.mux(video.encode(flat_picture(number, 16 + 4 * (number % 25))))
            if sound:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.int16), "s16", "mono")
                frame.sample_rate, frame.pts = 48_000, 1920 * number
                container.mux(sound.encode(frame))
        for stream in (video, *([sound] if sound else [])):
            container.mux(stream.encode(None))
    return path.read_bytes()


def known(path: Path) -> set[int]:
    with av.open(str(path)) as film:
        return {stream.id for stream in film.streams}


@pytest.mark.parametrize("stride", [188, 192, 204])
def test_what_begins_late_is_found_in_every_kind_of_packet(tmp_path: Path, stride: int) -> None:
    first = recording(tmp_path / "a.ts", 256)
    whole = first + NULL + recording(tmp_path / "b.ts", 600)
    packets = np.frombuffer(whole, np.uint8).reshape(-1, 188)
    before, behind = (4, 0) if stride == 192 else (0, stride - 188)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"\0" * 7 + np.pad(packets, ((0, 0), (before, behind))).tobytes())  # and some bytes were lost
    found = late_in_transport(joined, {256, 257})
    assert [(one.pid, one.kind) for one in found] == [(600, "pictures"), (601, "sound")]
    begins = (len(first) + len(NULL)) // 188 * stride
    assert all(begins <= one.place < begins + 100 * stride for one in found)
    assert not late_in_transport(joined, {256, 257, 600, 601})


def test_a_recording_of_another_service_that_was_joined_is_told(tmp_path: Path) -> None:
    joined, result = tmp_path / "joined.ts", tmp_path / "result.mkv"
    joined.write_bytes(recording(tmp_path / "a.ts", 256) + NULL + recording(tmp_path / "b.ts", 600))
    assert known(joined) == {256, 257}, "FFmpeg alone does not find them"
    notes = through(joined, result)
    told = [note for note in notes if "left out" in note]
    assert [note.split(", ")[0] for note in told] == ["a track of pictures (PID 600)", "a track of sound (PID 601)"]
    failed = {check.name: check.detail for check in verify(joined, result, scale=1).failed}
    assert "sound (PID 601), which begins 6.3 MB into the film, is missing" in failed["late streams"]


def test_sound_in_the_middle_of_a_recording_alone_is_told(tmp_path: Path) -> None:
    film = tmp_path / "film.ts"
    parts = [recording(tmp_path / f"{n}.ts", 256, with_sound=n == 1, first=25 * n) for n in range(3)]
    film.write_bytes(parts[0] + NULL + parts[1] + NULL + parts[2])
    assert any(note.startswith("a track of sound (PID 257), ") for note in through(film, tmp_path / "result.mkv"))


def test_of_a_recording_that_is_whole_nothing_is_said(tmp_path: Path) -> None:
    film, result = tmp_path / "film.ts", tmp_path / "result.mkv"
    recording(film, 256)
    assert not [note for note in through(film, result) if "left out" in note]
    assert verify(film, result, scale=1).ok
