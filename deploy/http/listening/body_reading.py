"""The body of a request, or the error that says why there is none."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from deploy.http.errors import HttpError
from deploy.http.listening.server import Connection
from scheduler.runtime.clock import monotonic_s

JSON_TYPE: Final = "application/json"

BODY_S: Final = 30.0
"""Wall seconds within which a body comes."""


def since_receipt_s(request: web.Request) -> float:
    """Wall seconds since the last byte of a request that has been read came in."""
    return monotonic_s() - request.protocol.received_s if isinstance(request.protocol, Connection) else 0.0


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """The body, as bounded by its application, which says so of `most_bytes`.

    `HttpError` 415 if it is not said to be JSON, 408 if it does not come, 413 if it is too large, 400 if it is not
    what its head says.
    """
    if request.content_type != JSON_TYPE:
        raise HttpError(415, f"send the body as Content-Type: {JSON_TYPE}", "unsupported_media_type")
    encoding = request.headers.get("Content-Encoding", "")
    try:
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        _read_no_more(request)
        raise HttpError(408, f"the body did not come within {BODY_S:.0f} s", "slow_client") from None
    except web.HTTPRequestEntityTooLarge:
        if encoding:
            _read_no_more(request)
        raise HttpError(413, f"the body is larger than {most_bytes:,} bytes", "body_too_large") from None
    except (web.HTTPBadRequest, web.RequestPayloadError, ValueError):
        what = f"it is no {encoding:.40}" if encoding else "it is not framed as its head says"
        raise HttpError(400, f"the body cannot be read: {what}", "invalid_body") from None


def _read_no_more(request: web.Request) -> None:
    if isinstance(request.protocol, Connection):
        request.protocol.read_no_more()
