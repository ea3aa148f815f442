"""The short way from a host to the control plane on the same machine: a Unix socket that carries envelopes.

A call of a Ray actor arrives 1.8 ms after it was made (median on an idle machine), what a socket carries after 0.15 ms,
and a client of the HTTP service sees a token no earlier than the report of its step comes in. So hosts post by a
`PostLine` where they can reach the control plane's `PostBox`. Elsewhere, and when the line breaks, they call as before:
envelopes are numbered, so that one which went both ways is read once.

The socket is in Linux's abstract namespace: no file of it can be left behind, processes on other machines or in other
containers find nobody under its name, and who is of another user is hung up on.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")
_TAKEN: Final = b"\x06"
"""Answers each envelope."""

_CREDENTIALS: Final = struct.Struct("3i")


class PostBox:
    """The control plane's end: `take` gets each envelope as it comes, and never waits. `name` is empty until `open`."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self.name = ""
        self._take: Final = take
        self._server: asyncio.Server | None = None
        self._lines: Final[set[_Taker]] = set()

    async def open(self) -> None:
        """Listen, where the system has such sockets; a second call does nothing."""
        if self._server is not None or not sys.platform.startswith("linux"):
            return
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        name = f"supernode-{secrets.token_hex(16)}"
        listening.bind(f"\0{name}")
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Taker(self._take, self._lines), sock=listening)
        self.name = name

    async def close(self) -> None:
        """Listen no more, and hang up on whoever is there."""
        if self._server is not None:
            self._server.close()
            self._server, self.name = None, ""
        while self._lines:
            for line in self._lines:
                line.hang_up()
            await asyncio.sleep(0)


class _Taker(asyncio.Protocol):
    """One host's line, at the control plane."""

    def __init__(self, take: Callable[[bytes], None], lines: set[_Taker]) -> None:
        self._take = take
        self._lines = lines
        self._transport: Any = None
        self._buffer = bytearray()

    def hang_up(self) -> None:
        """Whoever posted is told so."""
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._lines.add(self)
        if _user_of(transport) != os.getuid():
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lines.discard(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(buffer)[0]
            if len(buffer) < end:
                return
            envelope = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            self._take(envelope)
            self._transport.write(_TAKEN)


class PostLine(asyncio.Protocol):
    """A host's end, made by `connect`."""

    def __init__(self) -> None:
        self._transport: Any = None
        # Of envelopes that have not been answered, in their order.
        self._waiting: deque[asyncio.Future[None]] = deque()

    @classmethod
    async def connect(cls, name: str) -> PostLine | None:
        """The line to the box of that name; None if it cannot be reached from here."""
        if not name:
            return None
        there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # By the socket's own call, which does not wait: uvloop takes the name for one of a file.
            there.connect(f"\0{name}")
            _, line = await asyncio.get_running_loop().create_unix_connection(cls, sock=there)
        except OSError:
            there.close()
            return None
        return line

    async def post(self, envelope: bytes) -> None:
        """Return when the control plane has taken an envelope; `ConnectionError` if that can no longer be known."""
        if self._transport is None:
            raise ConnectionError("the line is broken")
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(taken)
        self._transport.write(_LENGTH.pack(len(envelope)) + envelope)
        await taken

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio says it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """So many envelopes were taken."""
        for _ in data:
            taken = self._waiting.popleft()
            if not taken.done():
                taken.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits is told."""
        self._transport = None
        waiting, self._waiting = self._waiting, deque()
        for taken in waiting:
            if not taken.done():
                taken.set_exception(ConnectionError("the line broke"))


def _user_of(transport: asyncio.BaseTransport) -> int:
    """Who is at the other end of a Unix socket."""
    credentials = transport.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
    )
    return _CREDENTIALS.unpack(credentials)[1]
