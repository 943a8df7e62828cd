"""Virtual cameras of the kernel module v4l2loopback: what is written to one, other programs see as a webcam."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Final

from lipt_stream.errors import DeviceError

# struct v4l2_capability (linux/videodev2.h): driver[16], card[32], bus_info[32], version, capabilities, device_caps,
# reserved[3]; and the request that fills it.
_CAPABILITY: Final = struct.Struct("16s32s32s3I3I")
_VIDIOC_QUERYCAP: Final = 0x80685600
_VIDEO_OUTPUT: Final = 0x00000002


def find_virtual_camera(name: str = "") -> Path:
    """The device `name`, or the first one of v4l2loopback. Raises DeviceError where there is none, where it takes no
    pictures, and where this user may not open it."""
    if name:
        path = Path(name)
        if not _driver(path):
            raise DeviceError(f"{path} is no video device that takes pictures", "Load v4l2loopback, or name another.")
        return path
    for path in sorted(Path("/dev").glob("video*")):
        if _driver(path).startswith("v4l2 loopback"):
            return path
    raise DeviceError("There is no virtual camera", "Load the kernel's module for it: sudo modprobe v4l2loopback.")


def _driver(path: Path) -> str:
    """The name of the driver of a device that takes pictures, empty for any other. Raises DeviceError where that may
    not be asked."""
    if sys.platform != "linux":
        return ""
    import fcntl

    answer = bytearray(_CAPABILITY.size)
    try:
        with path.open("rb", buffering=0) as device:
            fcntl.ioctl(device, _VIDIOC_QUERYCAP, answer)
    except PermissionError as error:
        raise DeviceError(
            f"{path} may not be opened: {error.strerror}", "Join the group that owns it, often `video`."
        ) from error
    except OSError:  # it is not there, or no video device
        return ""
    driver, _card, _bus, _version, capabilities, device_capabilities, *_reserved = _CAPABILITY.unpack(answer)
    takes_pictures = (device_capabilities or capabilities) & _VIDEO_OUTPUT
    return driver.rstrip(b"\0").decode(errors="replace") if takes_pictures else ""
