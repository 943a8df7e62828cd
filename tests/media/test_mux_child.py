"""The muxing process by itself: what it leaves behind where nothing can be written."""

from __future__ import annotations

import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import VideoFormat
from lipt_stream.live.targets import parse_target
from lipt_stream.media import mux_child
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.mux_wire import pack_job, pack_packet, read_report

FORMAT = VideoFormat(width=64, height=64, frame_rate=Fraction(30))


def no_byte_more() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_failed_attempt_leaves_no_empty_file_and_keeps_others(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"film{suffix}").touch()  # someone else's
    process = written_to_no_byte_more(str(tmp_path / f"film{suffix}"))
    assert process.returncode == 1, process.stderr
    assert read_report(process.stdout.splitlines()[-1]).error.startswith("The file grew larger")
    assert [path.name for path in tmp_path.iterdir()] == [f"film{suffix}"]


def test_an_hls_folder_that_takes_nothing_is_no_success(tmp_path: Path) -> None:
    process = written_to_no_byte_more(f"hls:{tmp_path}")
    assert process.returncode == 1, process.stderr
    assert read_report(process.stdout.splitlines()[-1]).error.startswith("The file grew larger")


def test_a_playlist_that_is_damaged_keeps_no_stream_from_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    playlist, named, orphan = (Path(name) for name in ("index.m3u8", "live-000007.ts", "live-000001.ts"))
    playlist.write_bytes(b"#EXTM3U\n\xff\xfe\nlive-000007.ts\n")
    named.touch()
    orphan.touch()
    mux_child._remove_orphans(playlist)  # pyright: ignore[reportPrivateUsage]
    assert named.exists()
    assert not orphan.exists()


def written_to_no_byte_more(target: str) -> subprocess.CompletedProcess[bytes]:
    """Five seconds, muxed by a process that may write nothing."""
    encoder = LiveEncoder(FORMAT, encoder="libx264")
    packets = [one for n in range(150) for one in encoder.encode(FORMAT.new_planes(), 3000 * n, 3000)]
    job = parse_target(target).job((encoder.stream,))
    return subprocess.run(
        [sys.executable, "-m", "lipt_stream.media.mux_child"],
        input=pack_job(job) + b"".join(map(pack_packet, packets)),
        capture_output=True,
        preexec_fn=no_byte_more,  # as on a full disk, save for the words
        check=False,
    )
