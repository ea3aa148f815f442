"""aiohttp's server with what it leaves open closed: how fast connections come, and what is said of broken HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError

from deploy.http.errors import HttpError, defect, of_aiohttp
from deploy.http.listening.connection_rate import ConnectionRate, source_of
from scheduler.runtime.clock import monotonic_s


class Server(web.Server):
    """Makes a `Connection` of each that comes in; otherwise as the one whose place it takes, with its `settings`."""

    def __init__(self, base: web.Server, rate: ConnectionRate, **settings: Any) -> None:
        super().__init__(
            base.request_handler, request_factory=base.request_factory, handler_cancellation=base.handler_cancellation
        )
        self._rate = rate
        self._settings = settings

    def __call__(self) -> Connection:
        """A protocol, as asyncio asks for one."""
        return Connection(self, self._rate, loop=asyncio.get_running_loop(), **self._settings)


class Connection(web.RequestHandler):
    """One connection: turned away if its address has had too many, and answered in JSON whatever it sends."""

    __slots__ = ("_rate", "received_s")

    def __init__(self, manager: web.Server, rate: ConnectionRate, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._rate: Final = rate
        self.received_s = monotonic_s()
        """When the last bytes came, on the wall's monotonic clock."""

    def data_received(self, data: bytes) -> None:
        """Note when, before anything is read of it."""
        self.received_s = monotonic_s()
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or end with 429 at once: nothing of what such a client sends is read."""
        if self._rate.takes(source_of(transport.get_extra_info("peername")), monotonic_s()):
            super().connection_made(transport)
            return
        self.force_close()
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(REFUSAL)
        transport.close()

    def read_no_more(self) -> None:
        """Close after the answer, where else the rest of the body is read first: of a bomb that is most of its work."""
        self._lingering_time = 0.0

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or a defect: an error object, and the connection ends."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        # What follows a colon is what the client sent, a key perhaps.
        reason = "its URL" if isinstance(exc, InvalidURLError) else (message or "").partition(":")[0]
        unread = HttpError(status, f"the request cannot be read: {reason:.100}", "invalid_http")
        response = (defect(exc) if status >= 500 else unread).response()
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """What aiohttp refuses before any handler is asked has the same form as other errors."""
        if isinstance(resp, web.HTTPException):
            resp = of_aiohttp(resp, request.path)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """One line, never a traceback; none for what comes of a body that cannot be read."""
        error = kw.get("exc_info")
        if isinstance(error, BaseException) and not isinstance(error, web.RequestPayloadError):
            defect(error)


class Runner(web.AppRunner):
    """An application behind such a server; `rate` may be shared with others."""

    def __init__(self, application: web.Application, rate: ConnectionRate | None = None) -> None:
        super().__init__(application, access_log=None, handler_cancellation=True)
        self._rate = rate or ConnectionRate()

    async def _make_server(self) -> Server:
        return Server(await super()._make_server(), self._rate, access_log=None)


def _whole(error: HttpError) -> bytes:
    """An error as bytes on the wire, after which the connection is closed."""
    response = error.response()
    assert isinstance(response.body, bytes)
    lines = [f"HTTP/1.1 {error.status} {response.reason}", "Connection: close", f"Content-Length: {len(response.body)}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items() if name != "Content-Length"]
    return "\r\n".join([*lines, "", ""]).encode() + response.body


REFUSAL: Final = _whole(
    HttpError(429, "too many new connections; keep them open, or come again later", "busy", retry_after_s=1.0)
)
"""What a connection too many is told."""
