"""A session whose time a test moves, and clients whose connections and servers break where the test has them break."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp.test_utils import TestClient

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import Message
from tests.checkers.streams import Received
from tests.unit.deploy.http.served import InstantSession

Client = TestClient[Any, Any]
MS = 1_000_000
TEXT = "/v1/completions"


class HeldSession(InstantSession):
    """What it is told is done as far as emulated time has come; `go` lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.at_ns = 0

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """To the core, as of now."""
        self.told.append(message)
        self._stepper.deliver(CORE_ADDRESS, self.at_ns, message)
        self._stepper.run_until(self.at_ns)

    def go(self, by_ms: int) -> None:
        """Let so much time pass."""
        self.at_ns += by_ms * MS
        self._stepper.run_until(self.at_ns)


async def read_on(
    client: Client,
    session: HeldSession,
    body: dict[str, Any],
    key: str,
    received: Received,
    *,
    num_tokens: int = 2**31,
    step_ms: int = 7,
) -> int:
    """Send it, or send it again, and read until there are so many tokens or the end; returns the status."""
    headers = {"Idempotency-Key": key} if key else {}
    if received.num_tokens:
        headers["Last-Event-ID"] = str(received.num_tokens)

    async def move() -> None:
        while True:
            await asyncio.sleep(0)
            session.go(step_ms)

    moving = asyncio.create_task(move())
    try:
        async with client.post(TEXT, json={**body, "stream": True}, headers=headers) as answer:
            if answer.status == 200:
                async for line in answer.content:
                    received.take(line.decode().rstrip("\n"))
                    if received.num_tokens >= num_tokens and line == b"\n":
                        break
            return answer.status
    finally:
        moving.cancel()


async def settle(client: Client) -> None:
    """Let the service notice what was closed."""
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert client.server.started
