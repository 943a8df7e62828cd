"""The muxing process by itself: what it leaves behind where nothing can be written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from lipt_stream.frame import VideoFormat
from lipt_stream.live.targets import parse_target
from lipt_stream.media import mux_child
from lipt_stream.media.hls_files import HlsFiles
from lipt_stream.media.live_encoder import LiveEncoder
from lipt_stream.media.mux_wire import pack_job, pack_packet, read_report

FORMAT = VideoFormat(width=64, height=64, frame_rate=Fraction(30))
WRITE = 2  # FFmpeg's AVIO_FLAG_WRITE


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_failed_attempt_leaves_no_empty_file_and_keeps_others(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"film{suffix}").touch()  # someone else's
    process = written(str(tmp_path / f"film{suffix}"), most_bytes=0)
    assert process.returncode == 1, process.stderr
    assert read_report(process.stdout.splitlines()[-1]).error.startswith("The file grew larger")
    assert [path.name for path in tmp_path.iterdir()] == [f"film{suffix}"]


def test_an_hls_folder_that_takes_nothing_is_no_success(tmp_path: Path) -> None:
    process = written(f"hls:{tmp_path}", most_bytes=0)
    assert process.returncode == 1, process.stderr
    assert read_report(process.stdout.splitlines()[-1]).error.startswith("The file grew larger")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most_bytes", [100, 1000], ids=["no playlist fits", "no segment fits, but a playlist"])
def test_on_a_full_disk_an_hls_playlist_stays_what_it_was(tmp_path: Path, most_bytes: int) -> None:
    assert written(f"hls:{tmp_path}").returncode == 0
    playlist = (tmp_path / "index.m3u8").read_bytes()
    (tmp_path / "index.m3u8.tmp").write_text("#EXTM3U, of a process that was killed")
    assert written(f"hls:{tmp_path}", most_bytes=most_bytes).returncode == 1
    assert (tmp_path / "index.m3u8").read_bytes() == playlist
    named = {line for line in playlist.decode().splitlines() if line.endswith(".ts")}
    assert {path.name for path in tmp_path.iterdir()} == {"index.m3u8", *named}
    assert written(f"hls:{tmp_path}").returncode == 0
    assert (tmp_path / "index.m3u8").read_text().count(".ts") == len(named) + 3, "it goes on where it was"


def test_what_fails_when_it_is_closed_is_gone_and_nothing_follows_it(tmp_path: Path) -> None:
    """As on file systems of a network, which write late."""
    files = HlsFiles()
    segment = files.open(str(tmp_path / "live-000000.ts.tmp"), WRITE, {})
    os.close(segment._file.fileno())  # pyright: ignore
    with pytest.raises(OSError, match="Bad file descriptor"):
        segment.close()
    playlist = files.open(str(tmp_path / "index.m3u8.tmp"), WRITE, {})
    playlist.write(b"#EXTM3U")
    playlist.close()
    assert not list(tmp_path.iterdir())


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


def written(target: str, *, most_bytes: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[bytes]:
    """Five seconds, muxed by a process that may write files of so many bytes."""
    encoder = LiveEncoder(FORMAT, encoder="libx264")
    packets = [one for n in range(150) for one in encoder.encode(FORMAT.new_planes(), 3000 * n, 3000)]
    job = parse_target(target).job((encoder.stream,))
    return subprocess.run(
        [sys.executable, "-m", "lipt_stream.media.mux_child"],
        input=pack_job(job) + b"".join(map(pack_packet, packets)),
        capture_output=True,
        # As on a full disk, save for the words.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
        check=False,
    )
