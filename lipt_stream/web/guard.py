"""Who may see and steer a session: Host, Origin and token are checked before anything else happens.

Host: a page of another site whose name was made to point here (DNS rebinding) carries that site's name in it.
Origin: a page of another site may send a POST or open a WebSocket to any address, but cannot hide where it is from.
Token: other users and programs of this machine, and of the network where `--host` opens the port to it.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LONGEST: Final = 400 * 24 * 3600  # seconds that browsers keep a cookie: a page may stay open for as long as a run
_HEADERS: Final = {
    # blob: is what MediaSource and a snapshot's download are named by.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_NO_NAME: Final = (
    "This server does not go by that name: open it by this machine's IP address, or give --page-url behind a proxy."
)
_NO_TOKEN: Final = "This page needs its token: open the address that lipt-stream printed when it started."


class Guard:
    """ASGI middleware. `bound_host` is the address that is listened on, `port` tells cookies of two sessions apart,
    `origin` is the page's scheme, name and port where a proxy stands before it: "https://cameras.example.org".

    Lets through: requests whose Host is this machine or the proxy's name, and whose token is right in `Authorization:
    Bearer`, in the cookie, or in the query of `/`, which is answered by the cookie and a redirect to the address
    without it. POST and WebSocket must also name this page as their Origin; a script that shows a Bearer token, which
    no page of another site can do, need not name one. `/metrics` on loopback needs no token, but where a proxy may
    bring others to it.
    """

    def __init__(self, app: ASGIApp, *, token: str, bound_host: str, port: int, origin: str | None = None) -> None:
        self._app = app
        self._token = token.encode()
        self._cookie = f"lipt_stream_{port}"
        self._loopback = is_loopback(bound_host)
        self._names = {"localhost"} if self._loopback else _own_names() | {bound_host.lower()}
        self._origin = origin
        if origin is not None:
            self._names.add(_host_name(origin.partition("://")[2]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = self._answer(HTTPConnection(scope), scope.get("method", ""))
        if scope["type"] == "websocket":
            if answer is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})  # before it is accepted: a plain 403
            return
        await (answer or self._app)(scope, receive, _with_headers(send))

    def _answer(self, request: HTTPConnection, method: str) -> Response | None:
        """What is said instead of the page, None where the request may pass."""
        if not self._is_this_machine(request.headers.get("host", "")):
            return PlainTextResponse(_NO_NAME, 403)
        bearer = self._matches(_bearer(request))
        origin = request.headers.get("origin")
        must_name_origin = method not in ("GET", "HEAD") and not bearer
        if must_name_origin and origin is None:
            return PlainTextResponse("A request that changes something must come from this server's page.", 403)
        if origin is not None and origin != self._origin and origin.partition("://")[2] != request.headers["host"]:
            return PlainTextResponse("This server answers only its own page.", 403)
        shown = request.query_params.get("token", "")
        if shown and method == "GET" and request.scope["path"] == "/":
            return self._welcome() if self._matches(shown) else PlainTextResponse(_NO_TOKEN, 401)
        if bearer or self._matches(request.cookies.get(self._cookie, "")):
            return None
        if self._loopback and self._origin is None and request.scope["path"] == "/metrics":
            return None
        return PlainTextResponse(_NO_TOKEN, 401)

    def _welcome(self) -> Response:
        """Not "strict": where the address was a link in a mail, a chat or a terminal in a browser, the redirect would
        come without the cookie. What "lax" lets other sites do is to open the page, which tells them nothing."""
        answer = RedirectResponse("/", 303)
        # Behind TLS it is sent by TLS alone, not to whoever listens when the name is opened as http://.
        secure = self._origin is not None and self._origin.startswith("https://")
        answer.set_cookie(self._cookie, self._token.decode(), _LONGEST, secure=secure, httponly=True, samesite="lax")
        return answer

    def _is_this_machine(self, host: str) -> bool:
        """A name that another site can point here is refused; an address cannot be pointed anywhere. The port is not
        compared: a forwarded one is another."""
        name = _host_name(host)
        if name in self._names:
            return True
        address = _address(name)
        return address is not None and (address.is_loopback or not self._loopback)

    def _matches(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), self._token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _own_names() -> set[str]:
    """What this machine is called in its network."""
    name = socket.gethostname().lower()
    return {"localhost", name, f"{name}.local"}


def _host_name(host: str) -> str:
    """The name in a Host header, lower case, without its port; "" where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # "[::1": half an IPv6 address
        return ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _bearer(request: HTTPConnection) -> str:
    kind, _, shown = request.headers.get("authorization", "").partition(" ")
    return shown.strip() if kind.lower() == "bearer" else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return send_with_headers
