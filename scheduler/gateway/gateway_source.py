"""The source of requests that come in from outside one by one, each when its client sends it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import (
    AS_HEARD,
    NO_SESSION,
    Message,
    RequestsArrived,
    RequestsEnded,
    RequestsWithdrawn,
)
from scheduler.protocol.sealed_payload import seal_output_tokens


class ClientRequest(Struct, frozen=True):
    """One request as its client sent it; columns as in `RequestsArrived`.

    `output_tokens` is what an engine would find out only at the end; it goes to the workers sealed. `wants_tokens`: its
    client is told of tokens as they come, and not only of the end.
    """

    prompt_tokens: int
    output_tokens: int
    prefix: list[int]
    tenant: int = 0
    class_name: str = ""
    session: int = NO_SESSION
    wants_tokens: bool = False


class GatewaySource(TimingFlags):
    """Gives each request that is accepted a key, and is told by `RequestsEnded` when it has ended.

    It has no times of its own: whoever took a request from a client calls `accept`, and says what that returns to the
    core as of when the request had come in, which is before it was read. `streaming` are keys of open requests whose
    clients want tokens as they come.
    """

    address = "gateway"
    priority = Priority.SOURCE
    takes_late = True
    backdates_replies = True
    deadline_ns = NEVER_NS

    def __init__(self, block_tokens: int) -> None:
        self.block_tokens: Final = block_tokens
        self.streaming: Final[set[int]] = set()
        self._open: Final[set[int]] = set()
        self._num_accepted = 0
        self._last_ns = 0

    @property
    def num_open(self) -> int:
        """Requests that were accepted and have not ended."""
        return len(self._open)

    def accept(self, request: ClientRequest, arrived_ns: int = AS_HEARD) -> tuple[int, RequestsArrived]:
        """Its key, and what is to be said to the core of it, as of when it arrived: not before one that was
        accepted before it."""
        key = self._num_accepted
        self._num_accepted += 1
        self._open.add(key)
        if arrived_ns != AS_HEARD:
            arrived_ns = self._last_ns = max(arrived_ns, self._last_ns)
        if request.wants_tokens:
            self.streaming.add(key)
        arrived = RequestsArrived(
            [request.prompt_tokens],
            seal_output_tokens([request.output_tokens]),
            [request.prefix],
            [request.tenant],
            self.block_tokens,
            [request.class_name] if request.class_name else [],
            sessions=[] if request.session == NO_SESSION else [request.session],
            reply_to=self.address,
            keys=[key],
            arrived_ns=arrived_ns,
        )
        return key, arrived

    def withdraw(self, key: int) -> RequestsWithdrawn | None:
        """What is to be said to the core when the client of an open request is gone; None if it has ended."""
        self.streaming.discard(key)
        return RequestsWithdrawn(self.address, [key]) if key in self._open else None

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Requests ended; at the end of the run the core ends those that are open."""
        if isinstance(message, RequestsEnded):
            self._open.difference_update(message.keys)
            self.streaming.difference_update(message.keys)
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Nothing is due at any time."""
        return NOTHING
