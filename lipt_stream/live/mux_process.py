"""The muxing process of a live sink, seen from here: begun, fed, listened to, ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final

import lipt_stream
from lipt_stream.errors import OutputError
from lipt_stream.media.encoded import EncodedPacket
from lipt_stream.media.mux_wire import MuxJob, Report, pack_job, pack_packet, read_report

_COMMAND: Final = (sys.executable, "-P", "-m", "lipt_stream.media.mux_child")
_PACKAGE_PARENT: Final = str(Path(lipt_stream.__file__).resolve().parent.parent)
_START_SECONDS: Final = 10  # for Python and FFmpeg to be loaded on a busy machine
_GRACE_SECONDS: Final = 1  # the process ends itself when it hangs; this is for one that cannot even do that
_READ_BYTES: Final = 65_536


class SinkTrouble(OutputError):
    """Why a sink's process ended. `is_hopeless`: it would end so every time."""

    def __init__(self, message: str, *, is_hopeless: bool = False) -> None:
        super().__init__(message)
        self.is_hopeless = is_hopeless


class MuxProcess:
    """One process that carries out `job`. Used by one thread, `kill` by any. Left by `with`, it is gone.

    `report` is its newest; `sent` counts the packets of pictures that went down the pipe. Order of use: `begin`,
    `listen` until it is open, `send`, `finish`. Each raises SinkTrouble once the process has ended by itself, with what
    it said last, and when it does nothing for longer than the job allows.
    """

    def __init__(self, job: MuxJob) -> None:
        self.sent = 0
        self.report = Report()
        self._job = job
        self._stall_seconds = job.stall_seconds
        self._line = b""  # the beginning of a report
        self._process = _begun()
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._open_by = time.monotonic() + _START_SECONDS + job.stall_seconds

    def __enter__(self) -> MuxProcess:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._process.wait()
        self._read()  # what it said last
        self._stdin.close()
        self._stdout.close()

    def kill(self) -> None:
        self._process.kill()

    def begin(self) -> None:
        self._write(pack_job(self._job))

    def send(self, packet: EncodedPacket) -> None:
        self.sent += packet.kind == "video"  # before: one that breaks the pipe is lost, and must be counted
        self._write(pack_packet(packet))

    def listen(self, timeout_seconds: float = 0) -> None:
        """Takes in the reports that are there, or that come first within the time."""
        self._wait(timeout_seconds)
        if not self._read():
            raise self._trouble()
        if not self.report.is_open and time.monotonic() > self._open_by:
            raise self._stalled()

    def finish(self) -> None:
        """Lets the process write the end of its output, and waits for that."""
        self._stdin.close()
        end_by = time.monotonic() + 2 * self._stall_seconds + _GRACE_SECONDS  # for the last packet, and for the end
        while self._read():
            self._wait(_GRACE_SECONDS)
            if time.monotonic() > end_by:
                raise self._stalled()
        if self._process.wait():
            raise self._trouble()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        stalled_at = time.monotonic() + self._stall_seconds + _GRACE_SECONDS
        while rest:
            try:
                rest = rest[os.write(self._stdin.fileno(), rest) :]
            except BlockingIOError:
                self._wait(_GRACE_SECONDS, for_room=True)
            except BrokenPipeError:
                while self._read():
                    self._wait(_GRACE_SECONDS)
                raise self._trouble() from None
            self._read()
            if rest and time.monotonic() > stalled_at:
                raise self._stalled()

    def _wait(self, timeout_seconds: float, *, for_room: bool = False) -> None:
        """Until there is a report, the process has ended, or (`for_room`) the pipe takes more."""
        poll = select.poll()
        poll.register(self._stdout, select.POLLIN)
        if for_room:
            poll.register(self._stdin, select.POLLOUT)
        poll.poll(timeout_seconds * 1_000)

    def _read(self) -> bool:
        """Takes in the reports that are there. False: the process has closed its end."""
        while True:
            try:
                data = os.read(self._stdout.fileno(), _READ_BYTES)
            except BlockingIOError:
                return True
            if not data:
                return False
            *lines, self._line = (self._line + data).split(b"\n")
            if lines:
                self.report = read_report(lines[-1])

    def _stalled(self) -> SinkTrouble:
        return SinkTrouble(f"It took nothing for {self._stall_seconds:g} s")

    def _trouble(self) -> SinkTrouble:
        """What the process died of. It has closed its pipes, so it is about to end."""
        status = self._process.wait()
        if self.report.error:
            return SinkTrouble(self.report.error, is_hopeless=self.report.is_hopeless)
        if status == -signal.SIGALRM:
            return self._stalled()
        return SinkTrouble(f"Its process ended with status {status}")


def _begun() -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C in a terminal reaches it only by way of its parent."""
    path = os.pathsep.join(filter(None, [_PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
    try:
        return subprocess.Popen(
            _COMMAND,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # FFmpeg's log shows addresses with their passwords
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
    except OSError as error:
        raise SinkTrouble(f"Its process cannot be started: {error.strerror}") from error
