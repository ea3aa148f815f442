"""Writes tokens as server-sent events, each as soon as it is told of; a client that does not read is cut."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web

from deploy.http.answers import Answer
from deploy.http.errors import HttpError
from deploy.http.exchange import Exchange
from deploy.http.outcomes import finish_reason, refusal
from deploy.http.replies import Events
from deploy.http.tickets import Reader

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
    num_written, is_over = reader.first, False
    while not is_over:
        await reader.news()
        pieces: list[bytes] = []
        while reader.steps:
            num_tokens, at_ns = reader.steps.popleft()
            text = answer.text(num_written, num_tokens)
            at_s, late_s = (None, 0.0) if at_ns is None else (at_ns / 1e9, exchange.late_s(at_ns))
            pieces.append(events.tokens(text, num_tokens, at_s, late_s))
            num_written = num_tokens
        if reader.outcome is not None:
            is_over = True
            error = refusal(reader.outcome)
            last = events.end(finish_reason(reader.outcome, answer), reader.outcome) if error is None else error.event()
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
