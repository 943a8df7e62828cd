"""What the user is told when a live source cannot be opened or breaks off: av's errors, for addresses and devices.

AddressError where the address is wrong as it is written, AbsentError where nobody answers, InputError for the rest.
"""

from __future__ import annotations

import errno
import http.client
import re
import socket
import string
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

from av.error import (
    ArgumentError,
    ConnectionRefusedError,
    EOFError,
    ExitError,
    HTTPBadRequestError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPServerError,
    HTTPUnauthorizedError,
    InvalidDataError,
    ProtocolNotFoundError,
    TimeoutError,
)

from lipt_stream.errors import AbsentError, AddressError, BusyError, InputError
from lipt_stream.media.av_errors import reason
from lipt_stream.media.live_address import LiveAddress
from lipt_stream.media.redact import redact

_ASK_SECONDS: Final = 3
_PASSWORD_HINT: Final = "Write scheme://name:password@host, with %40 for @, %2F for / and %3A for : within the two."

_Told: TypeAlias = tuple[type[InputError], str, str]  # kind, words and hint


def live_error(error: BaseException, address: LiveAddress, *, is_open: bool) -> InputError:
    """`is_open`: whether it was open before and broke off. Where not, the network may be asked for the reason."""
    told = None if is_open or getattr(error, "errno", None) != errno.EIO else _explain_silence(address)
    kind, words, hint = told or _explain(error, address)
    return kind(f"Cannot read {address.shown}: {words}", hint)


def _explain(error: BaseException, address: LiveAddress) -> _Told:
    if address.kind in ("webcam", "screen"):
        told = _explain_device(getattr(error, "errno", None) or 0, address)
    else:
        told = None if address.kind == "file" else _explain_network(error, address)
    return told or (InputError, redact(reason(error)), "")


def _explain_device(number: int, address: LiveAddress) -> _Told | None:
    if address.kind == "screen":
        return AddressError, "there is no screen to be captured", "It needs an X11 display, named in $DISPLAY."
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        known = sorted(str(path) for path in Path("/dev").glob("video*"))
        there = f"There is {', '.join(known)}." if known else "There is none: plug one in, or try `live test`."
        return AddressError, "no such camera", there
    if number == errno.EBUSY:
        return BusyError, "another program uses the camera", "Close it, or choose another camera."
    if number in (errno.EACCES, errno.EPERM):
        return AddressError, "the camera may not be used", "On Linux, add yourself to the group video."
    if number == errno.ENOTTY:
        return AddressError, "it is no camera", ""
    if number == errno.EINVAL:
        return AddressError, "the camera has no such size, rate or pixel format", "Leave them out to take its own."
    return None


def _explain_network(error: BaseException, address: LiveAddress) -> _Told | None:
    number = getattr(error, "errno", None)
    match error:
        case HTTPUnauthorizedError():
            return AddressError, "name or password are wrong or missing (401)", _PASSWORD_HINT
        case HTTPForbiddenError():
            return AddressError, "the server forbids it to this user (403)", ""
        case HTTPNotFoundError():
            return AddressError, "the server has nothing under that path (404)", "Check the path behind the host."
        case HTTPBadRequestError():
            return AddressError, "the server does not understand the address (400)", ""
        case HTTPServerError():
            return InputError, "the server has an error of its own (5xx)", ""
        case ConnectionRefusedError():
            return AbsentError, "nothing listens there", "Is it switched on, and is the port right?"
        case TimeoutError() | ExitError():
            return AbsentError, "no answer in time", "Is it switched on?"
        case EOFError():
            return AbsentError, "it ended before its first picture", ""
        case ProtocolNotFoundError():
            return AddressError, "this build of FFmpeg does not read such addresses, or it led to a forbidden one", ""
        case InvalidDataError() if address.kind == "http":
            return AddressError, "no video, or a playlist of what it may not name", "Is it the address of a stream?"
        case InvalidDataError():
            return AbsentError, "no sensible answer", "Is it switched on, and a camera?"
        case ArgumentError() if address.kind == "http":
            return AddressError, "of a kind that is not opened from the network", "Name the stream itself."
        case _ if number in (errno.EHOSTUNREACH, errno.ENETUNREACH):
            return AbsentError, "no way leads there", "Check the cable and the network."
        case _ if number in (errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
            return AbsentError, "the connection broke", ""
        case _ if number in (errno.EADDRINUSE, errno.EACCES):
            return AddressError, "another program has the port, or it may not be used", "Choose another one."
        case _ if number == errno.EADDRNOTAVAIL:
            return AddressError, "this machine has no such address", "0.0.0.0 listens on all it has."
        case _:
            return None


def _explain_silence(address: LiveAddress) -> _Told | None:
    """FFmpeg says "input/output error" of an unknown host, of a redirection and of silence: they are told apart."""
    if address.kind not in ("rtsp", "rtmp", "http", "udp"):
        return None
    if address.kind == "udp":
        return AbsentError, "nothing arrives", "Does the sender send to this machine and port?"
    try:
        parts = urlsplit(re.sub(r"(?<=://)[^/?#]*@", "", address.url))
        unknown = _explain_unknown_host(parts.hostname or "")
    except ValueError:  # a label that is empty or longer than 63 characters (RFC 1035), or brackets around no address
        return AddressError, "no host can have that name", "Check its spelling."
    if unknown:
        return unknown
    elsewhere = _redirection(parts) if address.kind == "http" else None
    if elsewhere:
        return AddressError, f"the server sends on to {redact(elsewhere)}", "Name that one if you trust it."
    return None


def _explain_unknown_host(name: str) -> _Told | None:
    """Raises UnicodeError for a name that cannot be asked for."""
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror as unknown:
        # A name that ends in .local is known only while its bearer is there (RFC 6762).
        is_wrong = unknown.errno == socket.EAI_NONAME and not name.endswith(".local")
        return AddressError if is_wrong else AbsentError, "no host of that name is known", "Check its spelling."
    return None


def _redirection(parts: SplitResult) -> str | None:
    """Where an HTTP server sends us. `parts` holds no name or password, so none are sent for this."""
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_ASK_SECONDS)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", quote(path, safe=string.punctuation))
        answer = connection.getresponse()
        return answer.getheader("Location") if 300 <= answer.status < 400 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
