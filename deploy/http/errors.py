"""What goes wrong, as OpenAI's error object: a status, one line, a code; never a traceback."""

from __future__ import annotations

import json
import math
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

_TYPES: Final = {401: "authentication_error", 429: "rate_limit_error", 503: "service_unavailable", 500: "server_error"}
_INVALID: Final = "invalid_request_error"


class HttpError(Exception):
    """An answer that is an error. `retry_after_s`: when to ask again, for 429 and 503."""

    def __init__(
        self, status: int, message: str, code: str = "", *, param: str | None = None, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status: Final = status
        self.message: Final = message
        self.code: Final = code
        self.param: Final = param
        self.retry_after_s: Final = retry_after_s

    def document(self) -> dict[str, object]:
        """The JSON."""
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, _INVALID),
            "param": self.param,
            "code": self.code or None,
        }
        return {"error": error}

    def response(self) -> web.Response:
        """The whole answer."""
        headers: dict[str, str] = {}
        if self.retry_after_s:
            headers["Retry-After"] = str(math.ceil(self.retry_after_s))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return web.json_response(self.document(), status=self.status, headers=headers)

    def event(self) -> bytes:
        """As the last event of a stream that has begun."""
        return b"data: " + json.dumps(self.document(), separators=(",", ":")).encode() + b"\n\n"


def defect(error: BaseException | None) -> HttpError:
    """An error of ours: a line in the log that says where, and nothing of what the client sent."""
    frames = traceback.extract_tb(None if error is None else error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    print(f"http: {type(error).__name__}{where}", file=sys.stderr)
    return HttpError(500, "an internal error; please report it", "internal")


def of_aiohttp(error: web.HTTPException, path: str) -> web.StreamResponse:
    """What aiohttp refuses by itself, in the same form."""
    lines = {
        404: f"there is no {path:.100} here: see /openapi.json",
        405: f"{path:.100} does not take this method: see /openapi.json",
        413: "the body is too large",
    }
    response = HttpError(error.status, lines.get(error.status, error.reason)).response()
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def errors_as_objects(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every error in one form; a defect is one line for us, and none of it for the client."""
    try:
        return await handler(request)
    except HttpError as error:
        return error.response()
    except web.HTTPException as error:
        return of_aiohttp(error, request.path)
    except ConnectionError:  # the client is gone
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is
        return defect(error).response()
