"""Writes tokens as server-sent events, each as soon as it is told of; a client that does not read is cut."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from deploy.http.accepted.tickets import Reader
from deploy.http.answers import Answer
from deploy.http.errors import HttpError
from deploy.http.exchange import Exchange
from deploy.http.outcomes import finish_reason, refusal
from deploy.http.replies import Events

SLOW_S: Final = 10.0
"""Wall seconds that a client may leave what was written to it unread, once what the system buffers for it is full."""

SMALL_BYTES: Final = 16_384
"""What fits into an empty buffer of a connection, of which asyncio fills 64 KiB before a writer waits."""

_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def write_stream(
    request: web.Request, reader: Reader, answer: Answer, events: Events, exchange: Exchange
) -> web.StreamResponse:
    """All of an answer that the reader has not. `HttpError` if nothing came of it; what goes wrong later is the last
    event."""
    await reader.news()
    if not reader.steps and reader.outcome is not None and (error := refusal(reader.outcome)) is not None:
        raise error
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    writer = _TokenWriter(request, response, answer, events, exchange, reader.first)
    is_over = False
    while not is_over:
        await reader.news()
        pieces: list[bytes] = []
        while reader.steps:
            pieces.append(writer.event(*reader.steps.popleft()))
        if reader.outcome is not None:
            is_over = True
            error = refusal(reader.outcome)
            last = events.end(finish_reason(reader.outcome, answer), reader.outcome) if error is None else error.event()
            pieces.append(last)
        await _write(request, response, b"".join(pieces))
        if not (is_over or reader.steps):
            reader.take_step = writer.take
    await response.write_eof()
    return response


class _TokenWriter:
    """Makes the events of one stream and, when its head is out, writes each as soon as it is told of.

    A step brings tokens to all that run on an instance: were each stream a task that is woken, writes through the
    layers of a response and sleeps again, the last of 128 would leave milliseconds after the first. So tokens go to the
    transport within the call that tells of them. Whatever is out of the common course is left to the task of the
    stream: the head and the end, and a client that does not keep up.
    """

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        answer: Answer,
        events: Events,
        exchange: Exchange,
        first: int,
    ) -> None:
        self._transport = request.transport
        self._is_chunked = response.headers.get("Transfer-Encoding") == "chunked"
        self._answer = answer
        self._events = events
        self._exchange = exchange
        self._num_written = first

    def event(self, num_tokens: int, at_ns: int | None) -> bytes:
        """The event of the tokens after those of the event before it, up to so many in all."""
        text = self._answer.text(self._num_written, num_tokens)
        self._num_written = num_tokens
        if at_ns is None or not self._events.has_timings:
            return self._events.tokens(text, num_tokens, None, 0.0)
        return self._events.tokens(text, num_tokens, at_ns / 1e9, self._exchange.late_s(at_ns))

    def take(self, num_tokens: int, at_ns: int | None) -> bool:
        """Write it now; False if that has to wait, and nothing was done."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size() > SMALL_BYTES:
            return False
        data = self.event(num_tokens, at_ns)
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return True


async def _write(request: web.Request, response: web.StreamResponse, data: bytes) -> None:
    transport = request.transport
    if transport is None or (len(data) < SMALL_BYTES and not transport.get_write_buffer_size()):
        await response.write(data)  # the client has read all before, and this fits: nothing is waited for
        return
    try:
        async with asyncio.timeout(SLOW_S):
            await response.write(data)
    except TimeoutError:
        transport.abort()
        raise HttpError(408, "the client does not read what it asked for", "slow_client") from None
