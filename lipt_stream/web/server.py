"""The web server in a thread of its own: a port, the guard in front of the application, a tidy end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
import threading
import time
from typing import Any, Final
from urllib.parse import urlsplit

import idna
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lipt_stream.errors import LiptError, OutputError, SettingsError
from lipt_stream.live.control import Controls
from lipt_stream.web.app import new_app
from lipt_stream.web.guard import Guard, is_loopback
from lipt_stream.web.preview import Preview
from lipt_stream.web.token import Token, kept_token

USUAL_PORT: Final = 8710
_SECONDS_TO_START: Final = 10.0
_BACKLOG: Final = 64
_SILENCE_SECONDS: Final = 5.0  # a connection without a request lives for one to two of these
_MOST_CONNECTIONS: Final = 48
_MOST_ANSWERED: Final = 64  # above it, uvicorn answers 503
_HIGHEST_PORT: Final = 65535
_USUAL_PORTS: Final = {"http": 80, "https": 443}


class Server:
    """Serves the page of one session, or /metrics alone where there is no `preview`. `host` other than loopback opens
    it to the network, `port` None takes 8710, or any free one where that is taken; `page_url` is the page's address
    behind a proxy; `token` None takes the kept one (see `kept_token`).

    The port is bound at once: raises OutputError where it is taken, or `host` is not this machine's, SettingsError
    where `page_url` is not the address of a whole site.
    """

    def __init__(
        self,
        controls: Controls,
        preview: Preview | None,
        *,
        host: str = "127.0.0.1",
        port: int | None = None,
        page_url: str | None = None,
        token: str | None = None,
    ) -> None:
        self._origin = None if page_url is None else _origin_of(page_url)
        self._token, self._not_kept = Token(token) if token else kept_token()
        self._socket = _bind(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        app = new_app(controls, preview)
        guarded = Guard(app, token=self._token, bound_host=host, port=self.port, origin=self._origin)
        self._uvicorn = _Patient(_config(guarded))
        self._thread = threading.Thread(target=self._uvicorn.run, args=([self._socket],), name="web", daemon=True)

    @property
    def url(self) -> str:
        """The page's address with its token: a secret."""
        return f"{self._origin or self._own_origin}/?token={self._token}"

    @property
    def page_words(self) -> str:
        """`url`, and whether it is this run's alone: a secret."""
        return self.url + self._how_long

    @property
    def _how_long(self) -> str:
        return f" (for this run alone, because the token cannot be kept: {self._not_kept})" if self._not_kept else ""

    @property
    def _own_origin(self) -> str:
        host = _address_in_network() if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def metrics_words(self) -> str:
        """Where Prometheus finds /metrics, and what it must show from other machines: a secret."""
        is_open = is_loopback(self.host) and self._origin is None
        bearer = "" if is_open else f" with the header Authorization: Bearer {self._token}{self._how_long}"
        return f"{self._own_origin}/metrics{bearer}"

    def start(self) -> None:
        """Returns once the page can be asked for."""
        self._thread.start()
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._uvicorn.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise OutputError(f"The page's server at {self.host}:{self.port} did not start")
            time.sleep(0.01)

    def stop(self, timeout_seconds: float = 3.0) -> None:
        """Ends every connection. What is still open after a second is cut. May be called twice."""
        self._uvicorn.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._socket.close()


class _Patient(uvicorn.Server):
    """A uvicorn server whose patience ends: without limits, whoever may connect, which takes no token, could hold every
    file that the process may open, and the camera would find none."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._silent: set[Any] = set()
        self._looked = 0.0

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second. Ends connections that never had a request."""
        now = time.monotonic()
        if now - self._looked >= _SILENCE_SECONDS:
            self._looked = now
            silent = {one for one in self.server_state.connections if isinstance(one, H11Protocol) and not one.cycle}
            for one in silent & self._silent:
                one.transport.abort()
            self._silent = silent
        return await super().on_tick(counter)


class _Bounded(H11Protocol):
    """A connection whose coming ends, of too many, all others that wait for a request: at once, because thousands can
    come between two ticks."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            for one in list(self.connections):
                if one is not self and _waits_for_request(one):
                    one.transport.abort()


def _waits_for_request(connection: Any) -> bool:
    """Of HTTP, and not in the middle of an answer. WebSockets are other objects."""
    return isinstance(connection, H11Protocol) and (not connection.cycle or connection.cycle.response_complete)


def _config(app: ASGIApp) -> uvicorn.Config:
    """Quiet, because an access log would hold the token, and because whoever connects could fill any other with
    nonsense, except that `--debug` shows what a request failed by; and no larger in any direction than the page
    needs."""
    told = logging.StreamHandler() if os.environ.get("LIPT_DEBUG") else logging.NullHandler()
    told.setLevel(logging.ERROR)
    logging.getLogger("uvicorn").handlers = [told]
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=_Bounded,
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        ws_max_size=1024,
        ws_per_message_deflate=False,  # the picture is compressed already
        ws_ping_interval=5,
        ws_ping_timeout=10,
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=_MOST_ANSWERED,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=1,
    )


def _bind(host: str, port: int | None) -> socket.socket:
    if port is None:
        try:
            return _bind(host, USUAL_PORT)
        except LiptError:
            return _bind(host, 0)
    if not 0 <= port <= _HIGHEST_PORT:
        raise SettingsError(f"There is no port {port}", f"Give one from 1 to {_HIGHEST_PORT}, or 0 for any free one.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:  # the latter for a name that no host can have
        raise _binding_error(error, host, port) from error
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for old connections
        if sys.platform == "linux":
            _keep_the_backlog_short(bound)
        bound.bind(address)
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise _binding_error(error, host, port) from error
    return bound


def _keep_the_backlog_short(listener: socket.socket) -> None:
    """For every connection that is accepted: what a viewer has not taken waits in its queue, where it can be let go,
    and not in the kernel; and a viewer that takes nothing is cut, however often it acknowledges (tcp(7))."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 64 * 1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000)


def _origin_of(page_url: str) -> str:
    """As browsers write it: lower case, in ASCII, without the port that its scheme has anyway."""
    try:
        parts = urlsplit(page_url)
        name, port = parts.hostname, parts.port
        if name and not name.isascii():
            name = idna.encode(name, uts46=True).decode()
    except ValueError:  # half an IPv6 address, a port that is none, or a name that can be none
        parts, name, port = urlsplit(""), None, None
    is_whole = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _USUAL_PORTS or not name or not is_whole:
        raise SettingsError(
            f"--page-url {page_url} is not the address of a whole site", "For example https://cameras.example.org"
        )
    shown = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, _USUAL_PORTS[parts.scheme]) else "")


def _address_in_network() -> str:
    """This machine's address as others see it: what it would send from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # set aside for documentation (RFC 5737)
        except OSError:
            return "127.0.0.1"  # no network
        return str(probe.getsockname()[0])


def _binding_error(error: OSError | UnicodeError, host: str, port: int) -> LiptError:
    """What may pass by itself (another program's port, an address that comes with the network) is no SettingsError."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return OutputError(f"Port {port} of {host} is taken", "Give another one, or 0 for any that is free.")
    if number in (errno.EACCES, errno.EPERM):
        return SettingsError(f"Port {port} may not be used without more rights", "Give one from 1024 up.")
    return OutputError(f"{host} is no address of this machine", "Give one of its own, or 0.0.0.0 for all.")
