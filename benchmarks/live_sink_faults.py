"""What a live session does when its sinks fail: servers killed, black holes, slow readers, full disks.

    python benchmarks/live_sink_faults.py --out benchmarks/results/live_sink_faults.json

One session of the real command line sends a test picture (320x180 at 30 fps, lanczos) to GStreamer's RTSP server, to
nginx by RTMP, to a file on a small disk (a tmpfs), and to a witness: a file on a disk with room. Between the session
and the servers lies a wire that can stop carrying, or carry slowly. Each fault lasts 12 s; then all is well again.

Of each: what the witness was handed a second (`witness_fps`), what left the session (`fps_out`, the least of all
seconds) and the most that it took (`p95_ms`), next to the same without a fault; how often the sink was begun again
while the fault lasted, what it dropped, and how long after the fault's end it delivered again (`back_s`).
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from live_cameras import RTSP_SCRIPT, SYSTEM_PYTHON, free_port
from live_run import LiveRun
from results_file import write_result

NGINX, RTMP_MODULE = "/usr/sbin/nginx", Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
FAULT_SECONDS = 12
PATIENCE_SECONDS = 60
SLOW_BYTES = 4_000  # a second; the picture takes some ten times as much
DISK_BYTES = 300_000_000  # the film alone needs a tenth of it


@dataclass(frozen=True)
class Row:
    fault: str
    sink: str
    witness_fps: float
    fps_out: float
    p95_ms: float
    restarts: int
    dropped: int
    back_s: float | None


class Wire:
    """Carries TCP between one port and another. `bytes_a_second`: None as fast as it can, 0 not at all."""

    def __init__(self, to_port: int) -> None:
        self.bytes_a_second: int | None = None
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.socket()
            try:
                far.connect(("127.0.0.1", self._to_port))
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while True:
                while self.bytes_a_second == 0:
                    time.sleep(0.05)
                limit = self.bytes_a_second
                data = one.recv(limit // 10 if limit else 65_536)
                if not data:
                    break
                other.sendall(data)
                if limit:
                    time.sleep(0.1)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class Server:
    """A process that listens on a port, and can be killed and started again."""

    def __init__(self, command: list[str], port: int) -> None:
        self._command, self.port = command, port
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not _listens(self.port):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} does not listen")
            time.sleep(0.1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def rtsp_server() -> Server | None:
    if not RTSP_SCRIPT.is_file():
        return None
    port = free_port()
    return Server([SYSTEM_PYTHON, str(RTSP_SCRIPT), "--port", str(port)], port)


def rtmp_server(folder: Path) -> Server | None:
    if not Path(NGINX).is_file() or not RTMP_MODULE.is_file():
        return None
    port = free_port()
    (folder / "nginx.conf").write_text(
        f"load_module {RTMP_MODULE}; daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/log;\n"
        f"events {{}} rtmp {{ server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }} }}\n"
    )
    return Server([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class Watch:
    """The session, and what of its statistics belongs to one sink."""

    def __init__(self, run: LiveRun, sinks: list[str]) -> None:
        self.run, self._sinks = run, sinks

    def sink(self, name: str) -> dict[str, Any]:
        return self.run.stats[-1]["sinks"][self._sinks.index(name)]

    def delivers(self, name: str) -> None:
        before = self.sink(name)["delivered"]
        self.run.until(lambda: self.sink(name)["delivered"] > before + 20, PATIENCE_SECONDS, f"{name} to deliver")

    def row(self, fault: str, name: str, begin: Callable[[], object], end: Callable[[], object]) -> Row:
        for sink in self._sinks:
            self.delivers(sink)
        before, first = self.sink(name), self.run.stats[-1]
        witness = self.sink("witness")
        begin()
        time.sleep(FAULT_SECONDS)
        last = self.run.stats[-1]
        lines = [line for line in self.run.stats if first["time"] < line["time"] <= last["time"]]
        seconds = last["time"] - first["time"]
        handed, after = self.sink("witness")["delivered"] - witness["delivered"], self.sink(name)
        end()
        back = time.monotonic()
        self.delivers(name)
        return Row(
            fault,
            name,
            witness_fps=round(handed / seconds, 1),
            fps_out=min(line["fps_out"] for line in lines),
            p95_ms=max(line["latency_p95_ms"] for line in lines),
            restarts=after["restarts"] - before["restarts"],
            dropped=after["dropped"] - before["dropped"],
            back_s=None if fault == "none" else round(time.monotonic() - back, 1),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    skipped: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        disk = stack.enter_context(small_disk(folder / "disk"))
        servers = {"rtsp": rtsp_server(), "rtmp": rtmp_server(folder)}
        wires = {name: Wire(server.port) for name, server in servers.items() if server}
        targets = {name: f"{name}://127.0.0.1:{wire.port}/{PATHS[name]}" for name, wire in wires.items()}
        targets |= {"small disk": str(disk / "film.mkv")} if disk else {}
        targets |= {"witness": str(folder / "witness.mkv")}
        skipped += [f"{name}: it is not installed" for name, server in servers.items() if server is None]
        skipped += [] if disk else ["full disk: no tmpfs may be mounted"]
        for server in filter(None, servers.values()):
            stack.callback(server.kill)
        options = [part for target in targets.values() for part in ("--to", target)]
        run = stack.enter_context(LiveRun("test:320x180@30", "--model", "lanczos", *options))
        run.flows(30)
        watch = Watch(run, list(targets))
        rows = [shown(row) for row in every_row(watch, servers, wires, disk)]
        end_seconds, exit_code = run.end()
        print(f"SIGTERM: exit code {exit_code} after {end_seconds:.1f} s")
    for words in skipped:
        print("skipped:", words)
    write_result(arguments.out, skipped=skipped, rows=[asdict(row) for row in rows], end_s=round(end_seconds, 2))


PATHS = {"rtsp": "publish", "rtmp": "live/stream"}


def every_row(
    watch: Watch, servers: dict[str, Server | None], wires: dict[str, Wire], disk: Path | None
) -> Iterator[Row]:
    print(f"{'fault':12} {'sink':12} witness fps   fps out   p95 ms  restarts  dropped   back s")
    yield watch.row("none", "witness", lambda: None, lambda: None)
    for name, server in servers.items():
        if server:
            wire = wires[name]
            yield watch.row("killed", name, server.kill, server.start)
            yield watch.row("black hole", name, carries(wire, 0), carries(wire, None))
            yield watch.row("slow reader", name, carries(wire, SLOW_BYTES), carries(wire, None))
    if disk:
        yield watch.row("full disk", "small disk", lambda: fill(disk), lambda: (disk / "filler").unlink())


def carries(wire: Wire, bytes_a_second: int | None) -> Callable[[], None]:
    def change() -> None:
        wire.bytes_a_second = bytes_a_second

    return change


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


def shown(row: Row) -> Row:
    print(
        f"{row.fault:12} {row.sink:12} {row.witness_fps:11} {row.fps_out:9} {row.p95_ms:8} {row.restarts:9} "
        f"{row.dropped:8} {'-' if row.back_s is None else row.back_s:>8}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
