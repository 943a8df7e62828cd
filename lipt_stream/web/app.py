"""What the server answers: the page and its files, the WebSocket that feeds it, its buttons, and /metrics."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from lipt_stream.live.control import Controls
from lipt_stream.web.actions import REFUSALS, Actions
from lipt_stream.web.metrics import Metrics
from lipt_stream.web.preview import Preview
from lipt_stream.web.statistics import Statistics
from lipt_stream.web.viewer import Viewer

_PAGE: Final = Path(__file__).parent / "page"
# Not asked of the system, whose registry may say anything, and a script of the wrong type does not run.
_MEDIA_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SECONDS_UNTIL_STALLED: Final = 10.0
_MOST_VIEWERS: Final = 16
_GOING_AWAY: Final = 1001
_NOT_UNDERSTOOD: Final = 1008
_TRY_AGAIN_LATER: Final = 1013


def new_app(controls: Controls, preview: Preview | None) -> Starlette:
    """The application without its guard; without a preview /metrics alone."""
    metrics = Route("/metrics", Metrics(controls).respond)
    if preview is None:
        return Starlette(routes=[metrics], exception_handlers=REFUSALS)
    statistics = Statistics(controls, preview)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(statistics.run)
            yield
            tasks.cancel_scope.cancel()

    return Starlette(
        routes=[
            *_page_routes(),
            WebSocketRoute("/watch", _Socket(preview, statistics).watch),
            metrics,
            *Actions(controls).routes,
        ],
        exception_handlers=REFUSALS,
        lifespan=lifespan,
    )


def _page_routes() -> list[Route]:
    files = {path.name: path.read_bytes() for path in _PAGE.iterdir() if path.suffix in _MEDIA_TYPES}

    async def respond(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            return PlainTextResponse("There is no such page.", 404)
        return Response(files[name], media_type=_MEDIA_TYPES[Path(name).suffix])

    return [Route("/", respond), Route("/page/{name}", respond)]


class _Socket:
    """/watch. To the page: JSON of type "session" first, "picture" before every start of the picture, "stats" every
    second; and binary: the initialisation segment and fragments that follow a "picture". From the page, whenever it
    wants to start anew: {"sound": bool}."""

    def __init__(self, preview: Preview, statistics: Statistics) -> None:
        self._preview = preview
        self._statistics = statistics

    async def watch(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self._preview.viewers) >= _MOST_VIEWERS:
            await socket.close(_TRY_AGAIN_LATER, f"{_MOST_VIEWERS} are watching already.")
            return
        viewer = self._preview.join()
        try:
            async with anyio.create_task_group() as tasks:

                async def end_with(work: Awaitable[None]) -> None:
                    await work
                    tasks.cancel_scope.cancel()

                tasks.start_soon(end_with, _listen(socket, viewer))
                tasks.start_soon(end_with, _send(socket, viewer, self._statistics.greeting()))
        finally:
            self._preview.leave(viewer)


async def _send(socket: WebSocket, viewer: Viewer, greeting: Sequence[str]) -> None:
    """Ends with the session, or when the viewer is gone or hangs: its page then notices that nothing comes."""
    try:
        for text in greeting:
            await socket.send_text(text)
        while (item := await viewer.take()) is not None:
            with anyio.move_on_after(_SECONDS_UNTIL_STALLED) as waiting:
                await (socket.send_text(item.data) if isinstance(item.data, str) else socket.send_bytes(item.data))
            if waiting.cancelled_caught:
                return
        await socket.close(_GOING_AWAY, "The session has ended.")
    except WebSocketDisconnect:
        return


async def _listen(socket: WebSocket, viewer: Viewer) -> None:
    """Ends when the page leaves, or says what no page of ours would."""
    try:
        while True:
            said = json.loads(await socket.receive_text())
            viewer.with_sound = bool(said["sound"])
            viewer.restart()
    except WebSocketDisconnect:
        return
    except (ValueError, KeyError, TypeError, RecursionError):
        await socket.close(_NOT_UNDERSTOOD, "Not understood.")
