"""Runs of the real command line that end badly: killed, out of room, refused, their input gone.

python benchmarks/kills.py --kills 50 --out benchmarks/results/kills.json

- 50 kills (SIGKILL, SIGTERM, SIGINT in turn) at random moments, seeded: a fifth of them while the program loads, the
  rest when a random share of the result has been written, and up to 0.2 s later. A run that ends before its kill is
  looked at like the others, and tried again;
- a full disk at 20 offsets, half of them in the last twentieth: a tmpfs of that size where this user may mount one,
  else a limit on the size of files, which is said in the result;
- a folder that may not be written to, one that does not exist, a name that is too long;
- an input that is deleted, renamed, cut, overwritten or emptied while it is read.

Of each: nothing under the final name unless it is whole (decodes to the end with as many pictures as the source, and
as many packets of sound); what was kept plays; one line of error and exit code 1, or 130 and 143 for signals. What
SIGKILL leaves (NAME.part) cannot be tidied by anyone: how much of it plays is counted. Exit code 1 on any defect.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av
from results_file import write_result
from tiny_films import CLIP

PROGRAM = [sys.executable, "-m", "lipt_stream", "upscale"]
# A keyframe twice a second, so that a run of three seconds has fragments to lose.
SETTINGS = ["--model", "nano", "--device", "cpu", "--preset", "fast", "-e", "g=15", "-e", "tune=zerolatency"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STOPPED = {signal.SIGTERM: (143, -signal.SIGTERM), signal.SIGINT: (130, -signal.SIGINT), signal.SIGKILL: (-9,)}
SUFFIXES = (".mp4", ".mkv")


@dataclass
class Run:
    """What one run left behind. `defects` is empty where all promises held."""

    kind: str
    moment: str
    exit_code: int = 0
    line: str = ""
    left: dict[str, int] = field(default_factory=dict)  # name -> pictures that play
    defects: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--offsets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds, sizes = rehearse(folder)
        print(f"an undisturbed run takes {seconds:.1f} s and writes {sizes} bytes", flush=True)
        disk = "tmpfs" if may_mount(folder) else "RLIMIT_FSIZE"
        runs = [show(run) for run in every_run(folder, arguments, sizes, disk)]
    defects = [run for run in runs if run.defects]
    parts = [frames for run in runs if run.kind == "SIGKILL" for name, frames in run.left.items() if ".part" in name]
    print(f"{len(runs)} runs, {len(defects)} with a defect; {Counter(run.kind for run in runs)}")
    print(f"SIGKILL left {len(parts)} files, of which {sum(n > 0 for n in parts)} play: {sorted(parts)} pictures")
    write_result(
        arguments.out,
        seed=arguments.seed,
        undisturbed_seconds=round(seconds, 1),
        full_disk_by=disk,
        runs=len(runs),
        kinds=Counter(run.kind for run in runs),
        defects=len(defects),
        pictures_playing_after_sigkill=sorted(parts),
        every_run=[asdict(run) for run in runs],
    )
    raise SystemExit(1 if defects else 0)


def rehearse(folder: Path) -> tuple[float, dict[str, int]]:
    """How long a run takes, and how large its results are."""
    seconds, sizes = 0.0, {}
    for suffix in SUFFIXES:
        began = time.monotonic()
        result = folder / f"rehearsal{suffix}"
        subprocess.run([*PROGRAM, str(CLIP), str(result), *SETTINGS, "-q"], check=True)
        seconds, sizes[suffix] = time.monotonic() - began, result.stat().st_size
        result.unlink()
    return seconds, sizes


def every_run(folder: Path, arguments: argparse.Namespace, sizes: dict[str, int], disk: str) -> Iterator[Run]:
    rng = random.Random(arguments.seed)
    kills = 0
    while kills < arguments.kills:
        suffix = SUFFIXES[kills // len(SIGNALS) % len(SUFFIXES)]
        loading = rng.random() < 0.2
        after = rng.uniform(0.05, 3.0) if loading else rng.uniform(0, 0.2)
        size = 0 if loading else round(rng.random() * sizes[suffix])
        run = killed(fresh(folder), suffix, SIGNALS[kills % len(SIGNALS)], size, after)
        kills += run.kind != "ended before its kill"
        yield run
    for number in range(arguments.offsets):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        share = number / arguments.offsets if number % 4 < 2 else 0.95 + 0.05 * rng.random()
        yield without_room(fresh(folder), suffix, int(sizes[suffix] * share), disk)
    yield from refused(fresh(folder), disk)
    for deed in (Path.unlink, _rename, _cut, _overwrite, _empty):
        for suffix in SUFFIXES:
            yield vanishing(fresh(folder), suffix, deed)


def killed(place: Path, suffix: str, number: signal.Signals, size: int, seconds: float) -> Run:
    """A run killed `seconds` after its result has grown to `size` bytes."""
    run = Run(number.name, f"{seconds:.2f} s after {size} bytes, {suffix}")
    process = start(CLIP, place / f"large{suffix}")
    part = place / f"large{suffix}.part"
    while process.poll() is None and size_of(part) < size:
        time.sleep(0.002)
    time.sleep(seconds)
    if process.poll() is not None:
        run.kind = "ended before its kill"
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    run.exit_code = process.returncode
    finished = (place / f"large{suffix}").exists()
    expected = (0, *STOPPED[number]) if finished else STOPPED[number]
    if run.exit_code not in expected:
        run.defects.append(f"exit code {run.exit_code}, expected one of {expected}: {errors[-500:]}")
    if "Traceback" in errors or "defect" in errors:
        run.defects.append(errors[-1500:])
    return look(run, place, suffix, part_allowed=number == signal.SIGKILL)


def without_room(place: Path, suffix: str, size: int, disk: str) -> Run:
    run = Run("full disk", f"{size} bytes, {suffix}")
    if disk == "tmpfs":
        with mounted(place, size):
            process = start(CLIP, place / f"large{suffix}")
            _, errors = process.communicate(timeout=300)
            run.exit_code = process.returncode
            return look(one_line(run, errors, place, ("space",)), place, suffix)
    process = start(CLIP, place / f"large{suffix}", before=lambda: _limit_file_size(size))
    _, errors = process.communicate(timeout=300)
    run.exit_code = process.returncode
    return look(one_line(run, errors, place, ("larger than is allowed",)), place, suffix)


def refused(place: Path, disk: str) -> Iterator[Run]:
    """Places where nothing can be written: found before the network is loaded."""
    for kind, target, words in (
        ("missing folder", place / "missing" / "large.mp4", ("folder does not exist",)),
        ("long name", place / ("x" * 300 + ".mp4"), ("too long",)),
    ):
        yield refusal(Run(kind, ""), place, target, words)
    if disk == "tmpfs":  # root may write where permissions forbid it, but not to a file system that is read-only
        with mounted(place, 1_000_000):
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            yield refusal(Run("read-only folder", "tmpfs, ro"), place, place / "large.mp4", ("read-only",))
    else:
        place.chmod(0o555)
        yield refusal(Run("read-only folder", "mode 555"), place, place / "large.mp4", ("permissions",))
        place.chmod(0o755)


def refusal(run: Run, place: Path, target: Path, words: tuple[str, ...]) -> Run:
    process = start(CLIP, target)
    _, errors = process.communicate(timeout=120)
    run.exit_code = process.returncode
    return look(one_line(run, errors, place, words), place, ".mp4")


def vanishing(place: Path, suffix: str, deed: Callable[[Path], object]) -> Run:
    """The input goes away once pictures are being written. Deleted and renamed, it can be read to its end."""
    run = Run(f"input: {deed.__name__.strip('_')}", suffix)
    source = place / "source.mp4"
    shutil.copy(CLIP, source)
    process = start(source, place / f"large{suffix}")
    part = place / f"large{suffix}.part"
    while process.poll() is None and not size_of(part):
        time.sleep(0.005)
    deed(source)
    _, errors = process.communicate(timeout=120)
    run.exit_code = process.returncode
    for path in place.glob("*source*"):
        path.unlink()
    if run.exit_code:
        one_line(run, errors, place, ("while it was being read",))
    elif not (place / f"large{suffix}").exists():
        run.defects.append("exit code 0 and no result")
    return look(run, place, suffix)


def _rename(source: Path) -> None:
    source.rename(source.with_name("other-source.mp4"))


def _cut(source: Path) -> None:
    os.truncate(source, source.stat().st_size // 2)


def _empty(source: Path) -> None:
    os.truncate(source, 0)


def _overwrite(source: Path) -> None:
    """By a shorter file, in place."""
    source.write_bytes(b"\xa5" * (source.stat().st_size // 3))


def start(source: Path, target: Path, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    command = [*PROGRAM, str(source), str(target), *SETTINGS, "-q"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def one_line(run: Run, errors: str, place: Path, words: tuple[str, ...]) -> Run:
    run.line = errors.strip().replace(f"{place}/", "")
    if run.exit_code != 1:
        run.defects.append(f"exit code {run.exit_code}, expected 1")
    if len(run.line.splitlines()) != 1 or not run.line.startswith("error: ") or "defect" in run.line:
        run.defects.append("not one line of error")
    if not any(word in run.line for word in words):
        run.defects.append(f"the line names none of {words}")
    return run


def look(run: Run, place: Path, suffix: str, *, part_allowed: bool = False) -> Run:
    """Counts what plays in every file that is left, and holds it against what its name promises."""
    for path in sorted(place.iterdir()):
        pictures, sound, clean = play(path)
        run.left[path.name] = pictures
        if path.name == f"large{suffix}":
            if (pictures, sound, clean) != play(CLIP):
                run.defects.append(f"{path.name} looks finished: {pictures} pictures, {sound} of sound, clean: {clean}")
        elif path.name == f"large.partial{suffix}":
            if not pictures:
                run.defects.append(f"{path.name} was kept and does not play")
        elif not (part_allowed and path.name == f"large{suffix}.part"):
            run.defects.append(f"{path.name} is left")
    return run


def play(path: Path) -> tuple[int, int, bool]:
    """Pictures that decode, packets of sound, and whether the end was reached without an error."""
    pictures = sound = 0
    try:
        with av.open(f"file:{path}") as container:
            for packet in container.demux(container.streams.video[0], *container.streams.audio):
                if packet.stream.type == "video":
                    pictures += len(packet.decode())
                else:
                    sound += packet.size > 0
    except (av.FFmpegError, IndexError):
        return pictures, sound, False
    return pictures, sound, True


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # not there yet, or renamed already
        return 0


def fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def may_mount(folder: Path) -> bool:
    place = fresh(folder)
    try:
        with mounted(place, 4096):
            return True
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False


@contextmanager
def mounted(place: Path, size: int) -> Iterator[None]:
    """A file system in memory of `size` bytes, in whole pages."""
    size = max(4096, size // 4096 * 4096)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _limit_file_size(size: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def show(run: Run) -> Run:
    print(json.dumps(asdict(run)), flush=True)
    return run


if __name__ == "__main__":
    main()
