"""What the page's buttons do: small JSON in, small JSON out, one plain line where something is refused."""

from __future__ import annotations

import io
import json
import time
import uuid
from collections.abc import Mapping
from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lipt_stream.errors import LiptError, SettingsError
from lipt_stream.live.control import Controls, Stills

_MOST_BODY_BYTES: Final = 1024
Value = TypeVar("Value", str, bool)


class Actions:
    """POST /model {"name": str}, /pause {"paused": bool}, /record {"recording": bool}, /snapshot {}."""

    def __init__(self, controls: Controls) -> None:
        self._controls = controls
        self.routes = [
            Route("/model", self._model, methods=["POST"]),
            Route("/pause", self._pause, methods=["POST"]),
            Route("/record", self._record, methods=["POST"]),
            Route("/snapshot", self._snapshot, methods=["POST"]),
        ]

    async def _model(self, request: Request) -> Response:
        name = _value(await _body(request), "name", str)
        await run_in_threadpool(self._controls.choose_model, name)
        return _json({"name": name})

    async def _pause(self, request: Request) -> Response:
        paused = _value(await _body(request), "paused", bool)
        await run_in_threadpool(self._controls.pause, paused)
        return _json({"paused": paused})

    async def _record(self, request: Request) -> Response:
        recording = _value(await _body(request), "recording", bool)
        file = await run_in_threadpool(self._controls.record, recording)
        return _json({"recording": recording, "file": file})

    async def _snapshot(self, request: Request) -> Response:
        """Both PNGs of one moment, as the two files of a multipart/form-data body."""
        await _body(request)
        stills = await run_in_threadpool(self._controls.stills)
        if stills is None:
            raise SettingsError("There is no picture to keep yet", "Wait for the first one.")
        return await run_in_threadpool(_pair_of_pngs, stills)


def refusal(_: Request, error: Exception) -> Response:
    """The one line that the page shows for a LiptError."""
    status = 400 if isinstance(error, SettingsError) else 500
    return _json({"error": str(error)}, status)


def failure(_: Request, __: Exception) -> Response:
    """For what nobody foresaw; starlette raises it again for uvicorn, which writes why where that was asked for."""
    words = "The server failed at this: a defect in lipt-stream. Please report it with the output of "
    return _json({"error": words + "`lipt-stream --debug live ...`"}, 500)


REFUSALS: Final = {LiptError: refusal, Exception: failure}


def _json(content: Mapping[str, object], status: int = 200) -> Response:
    """In ASCII alone: a file's name may hold bytes that are not UTF-8, which starlette's JSONResponse fails at."""
    return Response(json.dumps(content), status, media_type="application/json")


async def _body(request: Request) -> Mapping[str, object]:
    """The request's JSON object. Raises SettingsError where it is none, or larger than any the page sends."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise SettingsError("The request is not JSON", "Send Content-Type: application/json.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY_BYTES:
            raise SettingsError(f"The request is longer than {_MOST_BODY_BYTES} bytes")
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError) as error:  # the latter for brackets within brackets
        raise SettingsError("The request is not JSON") from error
    if not isinstance(parsed, dict):
        raise SettingsError("The request is no JSON object")
    return cast(Mapping[str, object], parsed)


def _value(body: Mapping[str, object], key: str, kind: type[Value]) -> Value:
    value = body.get(key)
    if not isinstance(value, kind):
        raise SettingsError(f"The request needs '{key}'", f"It is a {'text' if kind is str else 'true or false'}.")
    return value


def _pair_of_pngs(stills: Stills) -> Response:
    moment = time.strftime("%Y%m%d-%H%M%S")
    pictures = {"source": ("source", stills.source), "result": (f"x{stills.scale}", stills.result)}
    boundary = uuid.uuid4().hex
    parts: list[bytes] = []
    for field, (label, pixels) in pictures.items():
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{field}"; filename="lipt-stream-{moment}-{label}.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        parts += [head.encode(), _png(pixels), b"\r\n"]
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return Response(body, media_type=f"multipart/form-data; boundary={boundary}")


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)  # 6 would take several times as long
    return file.getvalue()
