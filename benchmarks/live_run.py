"""A session of the real command line, watched from outside: what it says, its statistics, what it takes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = [sys.executable, "-m", "lipt_stream", "live"]


@dataclass(frozen=True)
class Usage:
    """Of the session's own process, not of its children."""

    rss_mb: float
    threads: int
    descriptors: int


class LiveRun:
    """`lipt-stream live` with these arguments. `lines` are what it said, each with the monotonic time at which it came;
    `stats` the lines of --stats. Left by `with` it is dead."""

    def __init__(self, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._stats_path = Path(self._folder.name) / "stats.jsonl"
        self._stats: list[dict[str, Any]] = []
        self._stats_read = 0
        self.lines: list[tuple[float, str]] = []
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [*PROGRAM, *arguments, "--json", "--stats", str(self._stats_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._output: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stderr, self._note), daemon=True),
            threading.Thread(target=self._read, args=(self._process.stdout, self._output.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    @staticmethod
    def _read(pipe: Any, take: Callable[[str], object]) -> None:
        for line in pipe:
            take(line.rstrip("\n"))

    def _note(self, line: str) -> None:
        self.lines.append((time.monotonic(), line))

    @property
    def stats(self) -> list[dict[str, Any]]:
        if self._stats_path.exists():
            with self._stats_path.open("rb") as file:
                file.seek(self._stats_read)
                *whole, _ = file.read().split(b"\n")
            self._stats_read += sum(len(line) + 1 for line in whole)
            self._stats += [json.loads(line) for line in whole]
        return self._stats

    def said(self, words: str, since: float) -> float | None:
        """When a line with these words came first, after `since`."""
        return next((at for at, line in list(self.lines) if at >= since and words in line), None)

    def until(self, holds: Callable[[], Any], seconds: float, what: str) -> Any:
        """Waits until something is so, and returns it. TimeoutError with all that was said."""
        deadline = time.monotonic() + seconds
        while not (result := holds()):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise TimeoutError(f"waited in vain for {what}; {self.lines[-5:]}; {self.stats[-1:]}")
            time.sleep(0.02)
        return result

    def flows(self, fps: float, seconds: float = 90) -> None:
        """Waits until pictures come in and go out, at nine tenths of the rate at least, for three seconds."""

        def flows() -> bool:
            recent = self.stats[-3:]
            return len(recent) == 3 and all(line["state"] == "live" and line["fps_in"] > 0.9 * fps for line in recent)

        self.until(flows, seconds, "a steady flow")

    def usage(self) -> Usage:
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return Usage(
            rss_mb=round(int(fields["VmRSS"].split()[0]) / 1024, 1),
            threads=int(fields["Threads"]),
            descriptors=len(list(Path(f"/proc/{self.pid}/fd").iterdir())),
        )

    def end(self, number: int = signal.SIGTERM, limit_seconds: float = 30) -> tuple[float, int]:
        """Sends the signal, and returns the seconds until the program had ended and its exit code."""
        began = time.monotonic()
        self._process.send_signal(number)
        return self.wait(limit_seconds, began)

    def wait(self, limit_seconds: float, began: float | None = None) -> tuple[float, int]:
        began = time.monotonic() if began is None else began
        exit_code = self._process.wait(limit_seconds)
        seconds = time.monotonic() - began
        for reader in self._readers:
            reader.join(5)
        return seconds, exit_code

    @property
    def report(self) -> dict[str, Any]:
        """What --json told, after the end."""
        return json.loads(self._output[-1])
