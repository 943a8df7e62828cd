"""What FFmpeg is told to open a stream or a device."""

# pyright: reportUnknownMemberType=false
# PyAV's stubs leave the keyword arguments of its calls open.
from __future__ import annotations

from typing import Final

import av
from av.container import InputContainer
from av.device import enumerate_input_devices

from lipt_stream.errors import AddressError
from lipt_stream.media.live_address import LiveAddress

_LONGEST_MICROSECONDS: Final = 2**31 - 1
"""FFmpeg's own timeouts of RTSP and UDP are ints, of 36 minutes at most: whoever waits longer is told by the feed."""


def connect(address: LiveAddress, timeouts: tuple[float, float]) -> InputContainer:
    """`timeouts`, in seconds: of connecting and probing, each, and of each packet. Raises what av raises, and
    AddressError."""
    url, options = address.url, dict(address.options)
    if address.format == "dshow":
        url = f"video={_dshow_name(address)}"
    microseconds = str(min(round(timeouts[1] * 1_000_000), _LONGEST_MICROSECONDS))
    if address.kind in ("rtsp", "udp"):
        options["timeout"] = microseconds
    elif address.kind in ("http", "rtmp"):
        options["rw_timeout"] = microseconds
    return av.open(url, format=address.format, options=options, timeout=timeouts, metadata_errors="surrogateescape")


def _dshow_name(address: LiveAddress) -> str:
    """DirectShow knows its cameras by name alone."""
    if not address.url.isdecimal():
        return address.url
    cameras = [device.name for device in enumerate_input_devices("dshow") if "video" in device.media_types]
    if int(address.url) >= len(cameras):
        known = ", ".join(cameras) or "none"
        raise AddressError(f"Cannot read {address.shown}: no such camera", f"There is {known}.")
    return cameras[int(address.url)]
