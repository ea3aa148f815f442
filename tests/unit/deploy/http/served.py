"""The HTTP service over a small system that takes no time on the wall: every request is through at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from aiohttp.test_utils import BaseTestServer, TestClient, get_port_socket

from deploy.http.listening.connection_rate import ConnectionRate
from deploy.http.listening.server import Runner
from deploy.http.service import HttpService
from deploy.http.spec import HttpSpec
from deploy.live.session import ControlParts
from deploy.live.shown import Page
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import Message, RequestsWithdrawn
from scheduler.protocol.stepper import Stepper
from tests.small_system import BLOCK_TOKENS, WORKERS, make_core, make_worker

MODEL = "small"
CONTEXT_TOKENS = 8192
SPEC: dict[str, Any] = {"decode_blocks": 400, "report_interval_ns": 0}

Answer = TypeVar("Answer")


class InstantSession:
    """Stands for a session: what it is told is done to its end, in emulated time only; with `stands` nothing moves."""

    def __init__(self, *, stands: bool = False) -> None:
        self.core = make_core(SPEC)
        self.gateway = GatewaySource(BLOCK_TOKENS)
        self.parts = ControlParts(self.core, (self.gateway,), lambda: None, scheduler=self.core, gateway=self.gateway)
        self.told: list[Message] = []
        self.service = make_service()
        """Who serves it, where a test makes no other."""
        self.is_served = False
        self._stands = stands
        workers = [make_worker(SPEC, address) for address in WORKERS]
        self._stepper = Stepper([self.gateway, self.core, *workers], has_others=False)

    def now_ns(self, ago_s: float = 0.0) -> int:
        """Emulated time, which does not go by on the wall."""
        return self._stepper.last_ns

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """To the core, as of now."""
        self.told.append(message)
        if not self._stands:
            self._stepper.deliver(CORE_ADDRESS, self.now_ns(), message)
            self._stepper.run_until(NEVER_NS - 1)

    @property
    def withdrawn(self) -> list[int]:
        """Keys of requests whose clients were gone."""
        return [key for one in self.told if isinstance(one, RequestsWithdrawn) for key in one.keys]


def page(path: str, _accept: str) -> Page:
    """As of an exporter."""
    return Page(HTTPStatus.OK, "text/plain; charset=utf-8", f"{path}\n".encode())


def make_service(**more: Any) -> HttpService:
    """A service that no session is behind yet."""
    spec = HttpSpec(model=MODEL, max_context_tokens=CONTEXT_TOKENS, **more)
    return HttpService(spec, lambda: ("a replay runs on this cluster (x)", 5.0), page)


def _narrow(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """A listening socket whose connections buffer little of what clients do not read."""
    made = get_port_socket(host, port, family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    return made


class Served(BaseTestServer):
    """A service as it listens, on a free port."""

    def __init__(self, service: HttpService, rate: ConnectionRate | None = None) -> None:
        super().__init__(socket_factory=_narrow)
        self._service = service
        self._rate = rate

    async def _make_runner(self, **kwargs: Any) -> Runner:
        return Runner(self._service.application(), self._rate)


def served(
    talk: Callable[[TestClient[Any, Any]], Awaitable[Answer]],
    session: InstantSession | None = None,
    service: HttpService | None = None,
    rate: ConnectionRate | None = None,
) -> Answer:
    """Have `talk` talk to a service over this session; over none if it is None."""

    async def run() -> Answer:
        one = service or (make_service() if session is None else session.service)
        if session is not None and not session.is_served:
            session.is_served = True
            one.begin(session)
        async with TestClient(Served(one, rate)) as client:
            return await talk(client)

    return asyncio.run(run())
