"""A web server on this machine, in a thread of its own."""

from __future__ import annotations

import http.server
import threading


class HttpServer:
    """Listens at `host` from the beginning until `close`. Nothing is said of what is asked for."""

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        handler.log_message = lambda *_: None
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
