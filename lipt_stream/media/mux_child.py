"""The muxing process of a live sink: `python -m lipt_stream.media.mux_child`, a job and packets on stdin (mux_wire).

FFmpeg's open, header and end hold Python's lock and cannot be interrupted: towards a server that took the connection
and never answers, they would stop the whole program. So they happen here, where nothing else does, and a timer of the
kernel's ends the process when one of them takes too long. No process outlives a parent that was killed, either.

When the pipe ends, the end of the file or stream is written; after an error nothing more is. SIGTERM is first of all
the parent's matter: who stops a service signals all of its processes, and the pipe then ends with the last picture. A
process whose parent does not end it soon after writes the end by itself.
"""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the keyword arguments of its calls open.
from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import BinaryIO, Final

import av
from av.container import OutputContainer
from av.error import HTTPOtherClientError
from av.stream import Stream

from lipt_stream.media.abrupt_end import reset_when_closed
from lipt_stream.media.av_errors import AV_ERRORS, delivery_error
from lipt_stream.media.encoded import EncodedPacket, EncodedStream, Kind
from lipt_stream.media.hls_files import HlsFiles
from lipt_stream.media.mux_streams import add_stream, to_packet
from lipt_stream.media.mux_wire import HLS_SEGMENT, MuxJob, Report, pack_report, read_job, read_packets
from lipt_stream.media.whip_certificate import certificate_options

_FAILED: Final = 1
_GRACE_SECONDS: Final = 3.0  # after SIGTERM, for the parent to end the pipe: twice what a session takes to stop


class _Terminated(BaseException):
    """SIGTERM came, and the pipe did not end."""


@contextmanager
def _at_most(seconds: float) -> Generator[None]:
    """Ends this process by SIGALRM, whoever holds which lock, when what is inside takes longer."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Output:
    """One container: a network stream, or one of the files of a recording. Its times begin at zero."""

    def __init__(self, url: str, job: MuxJob, streams: Sequence[EncodedStream]) -> None:
        options = {**job.options, **(certificate_options() if job.format == "whip" else {})}
        opener = HlsFiles().open if job.format == "hls" else None
        self._container: OutputContainer = av.open(url, "w", format=job.format, options=options, io_open=opener)
        self._streams: dict[Kind, tuple[EncodedStream, Stream]] = {
            stream.kind: (stream, add_stream(self._container, stream)) for stream in streams
        }
        self._container.start_encoding()
        reset_when_closed(True)
        self._began: Fraction | None = None

    @property
    def is_empty(self) -> bool:
        return self._began is None

    def age_seconds(self, packet: EncodedPacket) -> Fraction:
        """How long after the first packet this one is decoded."""
        return packet.dts * self._streams[packet.kind][0].time_base - (self._began or 0)

    def mux(self, packet: EncodedPacket) -> None:
        if packet.kind not in self._streams:
            return
        stream, target = self._streams[packet.kind]
        if self._began is None:
            self._began = packet.dts * stream.time_base
        self._container.mux_one(to_packet(packet, target, stream, offset=round(self._began / stream.time_base)))

    def close(self) -> None:
        reset_when_closed(False)
        self._container.close()


class _Muxer:
    """Carries out a job and reports how it goes."""

    def __init__(self, job: MuxJob, reports: BinaryIO) -> None:
        self._job = job
        self._streams = job.streams
        self._reports = reports
        self._file_number = 0
        self._written = 0
        self._path: Path | None = None  # of a file
        self._output: _Output | None = None

    def open(self) -> None:
        """Connects, or begins the next file."""
        job = self._job
        with _at_most(job.stall_seconds):
            url = self._url()
            try:
                self._output = _Output(url, job, self._streams)
            except HTTPOtherClientError:  # such as 415: this is not what the server takes
                if len(self._streams) == 1:
                    raise
                self._streams = self._streams[:1]
                self._output = _Output(url, job, self._streams)
        self._tell()

    def take(self, packet: EncodedPacket) -> None:
        if self._begins_next_file(packet):
            self.close()
            self.open()
        assert self._output
        with _at_most(self._job.stall_seconds):
            self._output.mux(packet)
        if packet.kind == "video":
            self._written += 1
            self._tell()

    def close(self) -> None:
        """Writes the end of what is open; a file without a packet is removed."""
        if self._output is None:
            return
        with _at_most(self._job.stall_seconds):
            self._output.close()
            if self._path and self._output.is_empty:
                self._path.unlink()
        self._output = None

    def fail(self, error: BaseException) -> None:
        with suppress(OSError):  # where it is gone already
            if self._path and not self._path.stat().st_size:
                self._path.unlink()  # on a full disk, each attempt would leave an empty one
        words, is_hopeless = delivery_error(
            error, is_local=self._job.place != "network", is_rtmp=self._job.format == "flv"
        )
        self._tell(error=words, is_hopeless=is_hopeless)

    def _url(self) -> str:
        path = Path(self._job.url)
        if self._job.place == "file":
            self._path = self._new_file()
            return f"file:{self._path}"  # the prefix keeps a name such as "a:b.mp4" from being taken for a protocol
        if self._job.place == "folder":
            path.parent.mkdir(exist_ok=True)
            os.chdir(path.parent)  # FFmpeg takes a "%d" in the name of a folder for the number of a segment
            _remove_orphans(Path(path.name))
            return path.name
        return self._job.url

    def _begins_next_file(self, packet: EncodedPacket) -> bool:
        seconds = self._job.segment_seconds
        if not seconds or not self._output or packet.kind == "audio" or not packet.is_keyframe:
            return False
        return not self._output.is_empty and self._output.age_seconds(packet) >= seconds

    def _new_file(self) -> Path:
        """Creates the next file: NAME-0001.EXT and so on, behind those that are there, also where older ones were
        deleted; but NAME.EXT for a single one."""
        path = Path(self._job.url)
        self._file_number = self._file_number or _last_number(path)
        while True:
            self._file_number += 1
            is_plain = self._file_number == 1 and not self._job.segment_seconds
            name = path if is_plain else path.with_stem(f"{path.stem}-{self._file_number:04}")
            with suppress(FileExistsError):
                name.open("xb").close()
                return name

    def _tell(self, *, error: str = "", is_hopeless: bool = False) -> None:
        report = Report(
            written=self._written,
            is_open=not error,
            is_silent=len(self._streams) < len(self._job.streams),
            path=str(self._path or ""),
            error=error,
            is_hopeless=is_hopeless,
        )
        with suppress(BrokenPipeError):  # the parent was killed; what came before is still to be finished
            self._reports.write(pack_report(report))
            self._reports.flush()


def _last_number(path: Path) -> int:
    """Of the files NAME-0001.EXT and so on that are there; 0 where there is none."""
    numbered = re.compile(re.escape(path.stem) + r"-(\d{4,})" + re.escape(path.suffix))
    found = (numbered.fullmatch(other.name) for other in path.parent.iterdir())
    return max((int(match[1]) for match in found if match), default=0)


def _remove_orphans(playlist: Path) -> None:
    """Removes segments that an earlier process left behind and that its playlist does not name."""
    named = playlist.read_text(encoding="utf-8", errors="replace") if playlist.exists() else ""
    for segment in Path().iterdir():
        if HLS_SEGMENT.fullmatch(segment.name) and segment.name not in named:
            segment.unlink(missing_ok=True)


def _end_soon(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, _terminate)
    again = threading.Timer(_GRACE_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
    again.daemon = True
    again.start()


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Terminated


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the parent will say when to end
    packets_pipe, reports = sys.stdin.buffer, sys.stdout.buffer
    muxer = _Muxer(read_job(packets_pipe), reports)
    try:
        try:
            signal.signal(signal.SIGTERM, _end_soon)
            muxer.open()
            for packet in read_packets(packets_pipe):
                muxer.take(packet)
        except _Terminated:
            pass
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        muxer.close()
    except AV_ERRORS as error:
        muxer.fail(error)
        os._exit(_FAILED)  # no destructor may write to what has just failed


if __name__ == "__main__":
    main()
