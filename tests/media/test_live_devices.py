"""A webcam, real to the kernel, in a virtual machine; a screen, real to X11, in memory; RTMP through nginx."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice, pairwise
from pathlib import Path

import av
import pytest

from lipt_stream.errors import AddressError
from lipt_stream.media.live import LivePicture, LiveSource
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import open_live
from tests.film import flat_picture
from tests.nginx import free_port, nginx_running

REPOSITORY = Path(__file__).resolve().parents[2]
WEBCAM_VM = REPOSITORY.parent / "shared" / "tools" / "webcam-vm"

IN_THE_MACHINE = """
import threading
from itertools import islice, pairwise
from lipt_stream.errors import LiptError
from lipt_stream.media.live_address import live_address
from lipt_stream.media.live_input import open_live

def connect(text, **options):
    return open_live(live_address(text, **options), open_timeout_seconds=20, read_timeout_seconds=20,
                     cancelled=threading.Event())

camera = connect("webcam", size="320x180", rate=15, pix_fmt="yuyv422")
shown = list(islice(camera, 10))
print("format", camera.video_format, *camera.notes)
print("increasing", all(a.time_seconds < b.time_seconds for a, b in pairwise(shown)))
print("picture", shown[0].picture.format.name, shown[0].picture.width)
for text, options in (("webcam", {}), ("webcam:7", {}), ("webcam:/dev/null", {})):
    try:
        connect(text, **options).close()
    except LiptError as error:
        print("refused", type(error).__name__, error)
"""


def connect(text: str, **options: object) -> LiveSource:
    return open_live(
        live_address(text, **options),  # type: ignore[arg-type]
        open_timeout_seconds=10,
        read_timeout_seconds=10,
        cancelled=threading.Event(),
    )


@pytest.mark.timeout(600)
def test_a_webcam() -> None:
    if os.environ.get("LIPT_WEBCAM_VM") != "1" or not WEBCAM_VM.is_file():
        pytest.skip("the virtual machine with a webcam takes minutes: LIPT_WEBCAM_VM=1 runs it")
    command = [str(WEBCAM_VM), "env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-c", IN_THE_MACHINE]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=580)
    assert "format 320x180 yuv420p 15 fps" in done.stdout, done.stdout + done.stderr
    assert "increasing True" in done.stdout
    assert "picture yuyv422 320" in done.stdout
    assert "refused BusyError Cannot read webcam:/dev/video0: another program uses the camera" in done.stdout
    assert "refused AddressError Cannot read webcam:/dev/video7: no such camera. There is /dev/video0" in done.stdout
    assert "refused AddressError Cannot read webcam:/dev/null: it is no camera" in done.stdout


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = shutil.which("Xvfb")
    if server is None:
        pytest.skip("no Xvfb, which apt-get install xvfb brings")
    command = [server, "-displayfd", "1", "-screen", "0", "320x200x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    name = f":{process.stdout.readline().strip()}"
    monkeypatch.setenv("DISPLAY", name)
    yield name
    process.terminate()
    process.wait()
    process.stdout.close()


def test_the_screen(display: str) -> None:
    assert display != ":"
    with closing(connect("screen", rate=50)) as source:
        shown = [item for item in islice(source, 10) if isinstance(item, LivePicture)]
    assert (source.video_format.width, source.video_format.height, source.video_format.frame_rate) == (320, 200, 50)
    assert any("converted to YUV" in note for note in source.notes)
    assert all(a.time_seconds < b.time_seconds for a, b in pairwise(shown))


def test_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(AddressError, match="no screen"):
        connect("screen")


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[str]:
    """The address of nginx's RTMP application, which hands on what is published."""
    port = free_port()
    with nginx_running(tmp_path, port, rtmp=f"server {{ listen 127.0.0.1:{port}; application live {{ live on; }} }}"):
        yield f"rtmp://127.0.0.1:{port}/live/camera"


def test_rtmp_through_nginx(rtmp: str) -> None:
    over = threading.Event()

    def publish() -> None:
        with av.open(rtmp, "w", format="flv") as target:
            video = target.add_stream(
                "libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency", "g": "5"}
            )
            video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
            n = 0
            while not over.wait(0.04):
                target.mux(video.encode(flat_picture(n, size=(160, 96))))
                n += 1

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        with closing(connect(rtmp)) as source:
            shown = [item for item in islice(source, 30) if isinstance(item, LivePicture)]
    finally:
        over.set()
        publisher.join()
    assert (source.video_format.width, source.is_finite) == (160, False)
    assert len(shown) == 30
    assert all(a.time_seconds < b.time_seconds for a, b in pairwise(shown))
