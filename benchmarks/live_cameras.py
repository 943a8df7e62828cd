"""Cameras that fail as they are told: GStreamer's RTSP server, and MPEG-TS over HTTP and UDP, behind a real cable.

The cable is a pair of virtual Ethernet devices into a network namespace, where the cameras run: their carrier can be
taken away, and packets can be lost on it. That takes root, `ip` and `nft`; without them cameras run on loopback.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RTSP_SCRIPT = Path(os.environ.get("LIPT_RTSP_SERVER") or ROOT.parent / "shared" / "tools" / "rtsp_server.py")
FLASH_CAMERA = ROOT / "tests" / "live" / "flash_camera.py"
SYSTEM_PYTHON = "/usr/bin/python3"
SIZE, FPS = "320x180", 30
PASSWORD = "admin:s3cret"

# The server binds to loopback and calls its camera /camera. Here it shall be found from beyond the cable, and lost.
ELSEWHERE = """
import runpy, sys
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GstRtspServer
_, script, address, path, *sys.argv[1:] = sys.argv
bind, mount = GstRtspServer.RTSPServer.set_address, GstRtspServer.RTSPMountPoints.add_factory
GstRtspServer.RTSPServer.set_address = lambda server, _: bind(server, address)
GstRtspServer.RTSPMountPoints.add_factory = lambda points, old, what: mount(points, old.replace("/camera", path), what)
runpy.run_path(script)
"""


class Cable:
    """`far` is the cameras' address at its other end, `near` this machine's: others in each process."""

    def __init__(self) -> None:
        net = f"10.97.{os.getpid() % 256}"
        self.near, self.far = f"{net}.1", f"{net}.2"
        name = f"lipt-{os.getpid()}"
        self._namespace, self._near, self._far = name, f"{name[-10:]}-a", f"{name[-10:]}-b"
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", name)
        _run("ip", "addr", "add", f"{self.near}/24", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        _run("ip", "-n", name, "addr", "add", f"{self.far}/24", "dev", self._far)
        _run("ip", "-n", name, "link", "set", "lo", "up")
        self.mend()
        self.inside = ("ip", "netns", "exec", name)
        _run(*self.inside, "nft", "add", "table", "ip", "loss")
        _run(*self.inside, "nft", "add", "chain", "ip", "loss", "out", "{ type filter hook output priority 0; }")

    @classmethod
    def laid(cls) -> Cable | None:
        """None where this user may not, or has no tools for it."""
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
            return None
        try:
            return cls()
        except subprocess.CalledProcessError:
            return None

    def cut(self) -> None:
        _run("ip", "-n", self._namespace, "link", "set", self._far, "down")

    def mend(self) -> None:
        _run("ip", "-n", self._namespace, "link", "set", self._far, "up")

    def lose(self, percent: int) -> None:
        """So many of the packets that cameras send."""
        rule = ["numgen", "random", "mod", "100", "<", str(percent), "drop"]
        _run(*self.inside, "nft", "add", "rule", "ip", "loss", "out", *rule)

    def lose_none(self) -> None:
        _run(*self.inside, "nft", "flush", "chain", "ip", "loss", "out")

    def remove(self) -> None:
        _run("ip", "link", "del", self._near)
        _run("ip", "netns", "del", self._namespace)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Camera:
    """One kind of camera: `name`, the `url` and options it is watched by, and its process, started again and again."""

    def __init__(self, name: str, cable: Cable | None) -> None:
        self.name = name
        self._cable = cable
        self._process: subprocess.Popen[str] | None = None
        host = cable.far if cable else "127.0.0.1"
        self.port = free_port()
        user = f"{PASSWORD}@"
        self.arguments = {
            "RTSP over TCP": [f"rtsp://{user}{host}:{self.port}/camera"],
            "RTSP over UDP": [f"rtsp://{user}{host}:{self.port}/camera", "--transport", "udp"],
            "HTTP": [f"http://{user}{host}:{self.port}/camera"],
            "UDP": [f"udp://{cable.near if cable else host}:{self.port}"],
        }[name]

    @property
    def asks_for_password(self) -> bool:
        return self.name != "UDP"

    def start(self, *, password: str = PASSWORD, path: str = "/camera") -> None:
        """Returns once it listens, or sends."""
        self._process = subprocess.Popen(
            [*(self._cable.inside if self._cable else ()), *self._command(password, path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline().startswith("READY"):
            raise RuntimeError(f"the camera ({self.name}) did not start: see the apt line in {RTSP_SCRIPT}")
        threading.Thread(target=_drain, args=(self._process.stdout,), daemon=True).start()

    def _command(self, password: str, path: str) -> list[str]:
        address = "0.0.0.0"
        if self.name.startswith("RTSP"):
            options = ["--size", SIZE, "--rate", str(FPS), "--port", str(self.port), "--auth", password]
            return [SYSTEM_PYTHON, "-c", ELSEWHERE, str(RTSP_SCRIPT), address, path, *options]
        if self.name == "HTTP":
            url = f"http://{address}:{self.port}{path}"
            return [sys.executable, str(FLASH_CAMERA), url, "--password", password]
        return [sys.executable, str(FLASH_CAMERA), self.arguments[0]]

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def _drain(pipe: object) -> None:
    for _ in pipe:  # type: ignore[attr-defined]
        pass


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
