"""1,000 damaged files through upscale_file: no crash, no hang, no traceback, memory bounded, nothing lost unsaid.

python benchmarks/mutants.py --count 1000 --out benchmarks/results/mutants.json

Eight tiny films of eight container and codec pairs are damaged in ten ways, seeded. Each mutant ends as one of
    upscaled                 every frame that can be decoded is in a result that decodes
    upscaled, damage said    the same, and the report's notes or counts say what was damaged
    refused                  a LiptError; nothing is left under the final name
    DEFECT                   everything else; the mutant is kept, and the exit code is 1
Linux: the memory of each mutant is read from /proc.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any

from mutations import mutate
from results_file import write_result
from tiny_films import RECIPES, make_film

FRAMES = 20
WORKER = Path(__file__).with_name("mutant_worker.py")
SUFFIXES = {".avi": ".mkv", ".ts": ".mkv"}  # what the command line would choose; the others keep their own


class Worker:
    """A process that judges one mutant at a time. Killed for a hang or for memory, and started again."""

    def __init__(self, seconds: float, memory_mb: int, log: IO[bytes]) -> None:
        self._seconds, self._memory_mb, self._log = seconds, memory_mb, log
        self._process: subprocess.Popen[str] | None = None

    def judge(self, job: dict[str, Any]) -> dict[str, Any]:
        """The verdict on a mutant; a crash, a hang and too much memory are verdicts too."""
        fresh = self._process is None
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        began = self._log.tell()
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        deadline = time.monotonic() + self._seconds + (60 if fresh else 0)  # a fresh one first imports torch
        while not select.select([process.stdout], [], [], 0.05)[0]:
            if time.monotonic() > deadline:
                return self._stopped("a hang: no verdict within its time", began)
            if _resident_mb(process.pid) > self._memory_mb:
                return self._stopped(f"more than {self._memory_mb} MB of memory", began)
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        self._process = None
        return {"outcome": "DEFECT", "words": f"the process died: {process.wait()}", "detail": self._said(began)}

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-X", "faulthandler", "-W", "error", str(WORKER)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1
        )

    def _stopped(self, words: str, began: int) -> dict[str, Any]:
        assert self._process is not None
        self._process.send_signal(6)  # faulthandler writes where every thread stands
        self._process.wait()
        self._process = None
        return {"outcome": "DEFECT", "words": words, "detail": self._said(began)}

    def _said(self, began: int) -> str:
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")[began:][-4000:]

    def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one mutant by its number")
    parser.add_argument("--seconds", type=float, default=60, help="time limit of a mutant")
    parser.add_argument("--memory-mb", type=int, default=2000, help="resident memory that a mutant may take")
    parser.add_argument("--keep", type=Path, help="folder for the mutants that show a defect")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    indices = range(arguments.count) if arguments.only is None else [arguments.only]
    started = time.monotonic()
    verdicts = [show(verdict) for verdict in torture(indices, arguments)]
    defects = [verdict for verdict in verdicts if verdict["outcome"] == "DEFECT"]
    outcomes = Counter(verdict["outcome"] for verdict in verdicts)
    seconds = time.monotonic() - started
    print(f"{len(verdicts)} mutants in {seconds:.0f} s: {dict(outcomes)}")
    for (outcome, words), count in Counter((v["outcome"], v["words"]) for v in verdicts).most_common():
        print(f"{count:5} {outcome}: {words}")
    write_result(
        arguments.out,
        seed=arguments.seed,
        frames_each=FRAMES,
        limits={"seconds": arguments.seconds, "memory_mb": arguments.memory_mb},
        seconds=round(seconds),
        outcomes=outcomes,
        by_film={
            recipe.name: Counter(v["outcome"] for v in verdicts if v["film"] == recipe.name) for recipe in RECIPES
        },
        words={o: Counter(v["words"] for v in verdicts if v["outcome"] == o and v["words"]) for o in outcomes},
        peak_rss_mb=max(verdict.get("peak_rss_mb", 0) for verdict in verdicts),
        slowest_seconds=max(verdict["seconds"] for verdict in verdicts),
        defects=defects,
    )
    raise SystemExit(1 if defects else 0)


def torture(indices: range | list[int], arguments: argparse.Namespace) -> Any:
    """Verdicts in order. Mutant n is of film n modulo 8, damaged with the seed and n."""
    with tempfile.TemporaryDirectory() as name, (Path(name) / "log").open("wb") as log:
        folder = Path(name)
        films = [make_film(folder, recipe, FRAMES) for recipe in RECIPES]
        worker = Worker(arguments.seconds, arguments.memory_mb, log)
        for index in indices:
            film = films[index % len(films)]
            data, deed = mutate(film.read_bytes(), arguments.seed * 1_000_003 + index)
            with tempfile.TemporaryDirectory(dir=folder) as place:
                mutant = Path(place) / film.name
                mutant.write_bytes(data)
                output = mutant.with_name("result" + SUFFIXES.get(film.suffix, film.suffix))
                began = time.monotonic()
                job = {"index": index, "mutant": str(mutant), "output": str(output), "frames": FRAMES}
                verdict = worker.judge(job)
            if verdict["outcome"] == "DEFECT" and arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{index}-{film.name}").write_bytes(data)
            took = round(time.monotonic() - began, 2)
            yield {**verdict, "index": index, "film": film.name, "deed": deed, "seconds": took}
        worker.close()


def show(verdict: dict[str, Any]) -> dict[str, Any]:
    if verdict["outcome"] == "DEFECT" or "plain_pictures" in verdict:
        print(json.dumps(verdict), flush=True)
    return verdict


def _resident_mb(pid: int) -> float:
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass  # it has just ended; its silence is noticed next
    return 0


if __name__ == "__main__":
    main()
