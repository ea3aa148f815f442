"""A service that listens in a thread of its own, for clients that know no event loop; what it leaves can be counted."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

from aiohttp import web

from deploy.http.accepted.tickets import Ticket
from deploy.http.listening.connection_rate import ConnectionRate
from deploy.http.listening.server import Connection, Runner
from deploy.http.service import HttpService
from tests.unit.deploy.http.served import InstantSession

Answer = TypeVar("Answer")
START_S: Final = 30.0


_KINDS: Final = (Connection, Ticket, web.Request)


class Running:
    """`url` is where it listens."""

    def __init__(self, session: InstantSession, service: HttpService, loop: asyncio.AbstractEventLoop) -> None:
        self.session: Final = session
        self.service: Final = service
        self.port = 0
        self.unheard: Final[list[str]] = []
        """What the loop was told of that nobody caught."""
        self._loop = loop
        gc.collect()
        # What other tests have left to be collected is none of ours; held, so that no new object has its identity.
        self._before = {id(one): one for one in gc.get_objects() if type(one) in _KINDS}
        loop.set_exception_handler(lambda _, context: self.unheard.append(str(context)))

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Have its loop do something, and wait for it."""

        async def run() -> Answer:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_S)

    def talk(self, data: bytes, *, then_silent: bool = False) -> bytes:
        """What is answered to these bytes, on a connection of their own, until it is closed; empty if it is cut.

        With `then_silent` the client says all that it has to say, but does not close its side.
        """
        with socket.create_connection(("127.0.0.1", self.port), START_S) as one:
            pieces: list[bytes] = []
            with suppress(ConnectionError):
                one.sendall(data)
                if not then_silent:
                    one.shutdown(socket.SHUT_WR)
                while piece := one.recv(65536):
                    pieces.append(piece)
            return b"".join(pieces)

    def settle(self) -> None:
        """Return when no connection is open; who still holds one fails the test."""

        async def wait() -> None:
            async with asyncio.timeout(START_S):
                while self._left(Connection):
                    await asyncio.sleep(0.02)
                    gc.collect()

        self.ask(wait)

    def check_nothing_is_left(self) -> None:
        """No request is open in the scheduler, no connection, task or ticket, and nobody was silent about an error."""
        self.settle()
        gc.collect()
        assert self.session.gateway.num_open == 0
        assert not self.session.gateway.streaming
        assert self.session.core.table.num_open == 0
        assert not self._left(Ticket)
        assert not self._left(web.Request)
        assert not self.unheard

    def _left(self, kind: type[Any]) -> int:
        """How many objects of a kind there are that were not there before."""
        return sum(type(one) is kind and id(one) not in self._before for one in gc.get_objects())


@contextmanager
def running(
    session: InstantSession | None = None, service: HttpService | None = None, rate: ConnectionRate | None = None
) -> Generator[Running]:
    """A service over this session, or over one that answers at once; silent connections are watched."""
    loop = asyncio.new_event_loop()
    served = session or InstantSession()
    one = Running(served, service or served.service, loop)
    one.service.begin(served)
    runner: list[Runner] = []
    watching: list[asyncio.Task[None]] = []

    async def start() -> None:
        runner.append(Runner(one.service.application(), rate))
        await runner[0].setup()
        assert runner[0].server is not None
        watching.append(asyncio.create_task(one.service._watch.run(runner[0].server)))
        await web.TCPSite(runner[0], "127.0.0.1", 0).start()
        one.port = runner[0].addresses[0][1]

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        one.ask(start)
        try:
            yield one
        finally:
            loop.call_soon_threadsafe(watching[0].cancel)
            one.ask(runner[0].cleanup)
            one.ask(lambda: asyncio.sleep(0.01))  # what was cut is closed
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
