"""nginx in the foreground, with all that it writes in a test's own folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
PATIENCE_SECONDS = 100  # the machine may be busy


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def nginx_running(folder: Path, port: int, *, http: str = "", rtmp: str = "") -> Iterator[None]:
    """With `http` and `rtmp` as the content of its blocks, once it listens on `port`. Skips where it is not there."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if nginx is None or (rtmp and not RTMP_MODULE.is_file()):
        pytest.skip(f"no nginx{' with RTMP' * bool(rtmp)}, which apt-get install nginx libnginx-mod-rtmp brings")
    temporary = "".join(f"{name}_temp_path {folder}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    settings = folder / "nginx.conf"
    settings.write_text(
        f"{f'load_module {RTMP_MODULE};' if rtmp else ''}\n"
        f"daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}\n"
        f"{f'rtmp {{ {rtmp} }}' if rtmp else ''}\n"
        f"http {{ access_log off; {temporary}\n{http} }}\n"
    )
    process = subprocess.Popen([nginx, "-c", str(settings), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _listens(port):
            assert time.monotonic() < deadline, (folder / "nginx.log").read_text()
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
