"""Runs that end before the film does: nothing looks finished, what was kept plays, and one line says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import pytest

from lipt_stream import InputError, LiptError, OutputError, PipelineSpec, Upscaler, upscale_file
from lipt_stream.cli.screen import defect
from lipt_stream.stream.upscale import Progress

SPEC = PipelineSpec(model="nano", device="cpu", depth=2, encoder_options={"preset": "ultrafast"})
SLOWLY = ["--device", "cpu", "--model", "nano", "--runtime", "torch", "--precision", "float32", "--threads", "1"]


@pytest.fixture(scope="module")
def upscaler() -> Upscaler:
    return Upscaler.load("nano", device="cpu")


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def playable_frames(path: Path, format: str | None = None) -> int:
    """Pictures up to the first that is broken: where the disk was full, the last one is cut."""
    count = 0
    with av.open(str(path), format=format) as container:
        try:
            for _ in container.decode(video=0):
                count += 1
        except av.FFmpegError:
            return count
    return count


def small_film(clip: Path, path: Path) -> Path:
    """120 pictures of 64x36, lossless: far more bytes than a reader takes in ahead."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 36, "yuv420p"
        pictures = [frame.reformat(64, 36) for frame in source.decode(video=0)]
        for index in range(120):
            picture = pictures[index % len(pictures)]
            picture.pts, picture.time_base = index, 1 / stream.average_rate
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_an_input_cut_while_it_is_read_says_where_the_part_is(
    clip: Path, tmp_path: Path, upscaler: Upscaler, suffix: str
) -> None:
    film = small_film(clip, tmp_path / "film.mkv")

    def cut(update: Progress) -> None:
        if update.frames == 20:
            os.truncate(film, film.stat().st_size // 2)

    with pytest.raises(InputError, match="was cut from") as error:
        upscale_file(film, tmp_path / f"large{suffix}", spec=SPEC, upscaler=upscaler, progress=cut)
    kept = tmp_path / f"large.partial{suffix}"
    assert f"What was done until then is in {kept}" in str(error.value)
    assert "\n" not in str(error.value)
    assert frames_of(kept) >= 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", kept.name]


def test_a_defect_tells_where_the_part_is(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    def fail(update: Progress) -> None:
        if update.frames == 20:
            raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError) as error:
        upscale_file(small_film(clip, tmp_path / "film.mkv"), tmp_path / "large.mkv", upscaler=upscaler, progress=fail)
    kept = tmp_path / "large.partial.mkv"
    assert frames_of(kept) >= 20
    said = f"ZeroDivisionError: by nothing. What was done until then is in {kept}. Please report it"
    assert said in defect(error.value)


def test_an_input_deleted_while_it_is_read_still_becomes_the_whole_film(
    clip: Path, tmp_path: Path, upscaler: Upscaler
) -> None:
    film = small_film(clip, tmp_path / "film.mkv")

    def delete(update: Progress) -> None:
        if update.frames == 5:
            film.unlink()

    report = upscale_file(film, tmp_path / "large.mkv", spec=SPEC, upscaler=upscaler, progress=delete)
    assert report.ok
    assert frames_of(tmp_path / "large.mkv") == report.frames_out == 120
    assert [path.name for path in tmp_path.iterdir()] == ["large.mkv"]


@pytest.mark.skipif(not Path("/proc").exists(), reason="only /proc tells when torch begins to load")
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_an_interrupt_while_torch_loads_is_no_traceback(clip: Path, tmp_path: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "lipt_stream", "upscale", str(clip), str(tmp_path / "large.mp4")]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    maps = Path(f"/proc/{process.pid}/maps")
    until = time.monotonic() + 60
    while "libtorch" not in maps.read_text():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_a_part_that_plays_and_the_next_run_keeps_it(
    clip: Path, tmp_path: Path, upscaler: Upscaler
) -> None:
    """No handler runs on SIGKILL: what is there then is what the container promises."""
    result = tmp_path / "large.mkv"
    command = [sys.executable, "-m", "lipt_stream", "upscale", str(clip), str(result), "-q", *SLOWLY]
    process = subprocess.Popen([*command, "-e", "g=10", "-e", "tune=zerolatency"])
    part = tmp_path / "large.mkv.part"
    until = time.monotonic() + 120
    while process.poll() is None and not (part.exists() and part.stat().st_size > 100_000):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert [path.name for path in tmp_path.iterdir()] == ["large.mkv.part"]
    frames = playable_frames(part, "matroska")
    assert frames > 0
    report = upscale_file(clip, result, spec=SPEC, upscaler=upscaler, end_seconds=0.2)
    kept = tmp_path / "large.partial.mkv"
    assert report.ok
    assert [note for note in report.notes if str(kept) in note]
    assert sorted(tmp_path.iterdir()) == [result, kept]
    assert playable_frames(kept) == frames


def test_a_run_that_fails_early_leaves_a_strangers_part(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "large.mp4.part").write_bytes(b"a download")
    with pytest.raises(LiptError):
        upscale_file(clip, tmp_path / "large.mp4", spec=PipelineSpec(model="nowhere.safetensors"))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"a download"]


@pytest.fixture
def small_files_only() -> Iterator[Callable[[int], None]]:
    """Stands for a full disk: from the given number of bytes on, every write to a file fails."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda count: resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_no_room_for_the_result(
    clip: Path,
    tmp_path: Path,
    upscaler: Upscaler,
    suffix: str,
    share: float,
    small_files_only: Callable[[int], None],
) -> None:
    film = small_film(clip, tmp_path / "film.mkv")
    whole = tmp_path / f"whole{suffix}"
    upscale_file(film, whole, spec=SPEC, upscaler=upscaler)
    size = whole.stat().st_size
    whole.unlink()
    small_files_only(int(size * share))
    with pytest.raises(OutputError, match="larger than is allowed") as error:
        upscale_file(film, whole, spec=SPEC, upscaler=upscaler)
    small_files_only(2**40)
    kept = tmp_path / f"whole.partial{suffix}"
    assert sorted(path.name for path in tmp_path.iterdir()) in (["film.mkv"], ["film.mkv", kept.name])
    assert kept.exists() == (str(kept) in str(error.value))
    if share > 0.5:
        assert playable_frames(kept) > 20
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(clip: Path, tmp_path: Path, upscaler: Upscaler) -> None:
    folder = tmp_path / "fixed"
    folder.mkdir(mode=0o555)
    with pytest.raises(OutputError, match=r"the folder may not be written to\. Check its permissions"):
        upscale_file(clip, folder / "large.mp4", spec=SPEC, upscaler=upscaler)
    assert list(folder.iterdir()) == []
