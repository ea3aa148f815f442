"""Writes tokens as server-sent events, each as soon as it is told of; a client that does not read is cut."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from deploy.http.answers import Answer
from deploy.http.errors import HttpError
from deploy.http.exchange import Exchange, Ticket
from deploy.http.outcomes import finish_reason, refusal
from deploy.http.replies import Events

SLOW_S: Final = 10.0
"""Wall seconds that a client may leave what was written to it unread, once what the system buffers for it is full."""

SMALL_BYTES: Final = 16_384
"""What fits into an empty buffer of a connection, of which asyncio fills 64 KiB before a writer waits."""

_HEADERS: Final = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}


async def write_stream(
    request: web.Request, ticket: Ticket, answer: Answer, events: Events, exchange: Exchange
) -> web.StreamResponse:
    """All of an answer. `HttpError` if nothing came of it; what goes wrong later is the last event."""
    await ticket.news()
    if not ticket.steps and ticket.outcome is not None and (error := refusal(ticket.outcome)) is not None:
        raise error
    response = web.StreamResponse(headers=_HEADERS)
    await response.prepare(request)
    num_written, is_over = 0, False
    while not is_over:
        await ticket.news()
        pieces: list[bytes] = []
        while ticket.steps:
            num_tokens, at_ns = ticket.steps.popleft()
            text = answer.text(num_written, num_tokens)
            pieces.append(events.tokens(text, at_ns / 1e9, exchange.late_s(at_ns)))
            num_written = num_tokens
        if ticket.outcome is not None:
            is_over = True
            error = refusal(ticket.outcome)
            last = events.end(finish_reason(ticket.outcome, answer), ticket.outcome) if error is None else error.event()
            pieces.append(last)
        await _write(request, response, b"".join(pieces))
    await response.write_eof()
    return response


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
