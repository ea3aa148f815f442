"""Hands requests to the session that runs, and brings what comes of them back to whoever waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from deploy.http.errors import HttpError
from deploy.live.session import ControlParts
from scheduler.core.request_table import RequestTable
from scheduler.gateway.gateway_source import ClientRequest, GatewaySource
from scheduler.gateway.token_streams import TokenStreams
from scheduler.metrics.records import Records
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import Message

MAX_OPEN: Final = 2048
"""Requests that may be open at once; one more is told to come again."""


TakeStep = Callable[[int, int], bool]
"""Given (tokens in all, emulated time in ns)."""


class Outcome(NamedTuple):
    """How a request ended, from its row of the table; `times_s` by stage, None for a stage that it never reached."""

    reason: FinishReason
    output_tokens: int
    cached_tokens: int
    times_s: dict[str, float | None]


class Serving(Protocol):
    """A session, as far as clients have to do with it."""

    @property
    def parts(self) -> ControlParts:
        """What it runs."""
        ...

    def now_ns(self) -> int:
        """Emulated time."""
        ...

    def tell(self, message: Message) -> None:
        """Say something to the core as of now."""
        ...


class Ticket:
    """What one client waits for. `steps`: (tokens in all, emulated time in ns) that nobody has taken yet.

    `outcome` is there once nothing more comes; it is `INTERRUPTED` if the session ended before the request did.
    `take_step` may take a step at once, in place of whoever waits; it answers False if it cannot.
    """

    def __init__(self, key: int) -> None:
        self.key: Final = key
        self.steps: Final = deque[tuple[int, int]]()
        self.outcome: Outcome | None = None
        self.take_step: TakeStep | None = None
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Return when there are steps or the outcome."""
        while not self.steps and self.outcome is None:
            self._news.clear()
            await self._news.wait()

    async def ended(self) -> Outcome:
        """Return when nothing more comes."""
        while self.outcome is None:
            self._news.clear()
            await self._news.wait()
        return self.outcome

    def tell(self) -> None:
        """There is news."""
        self._news.set()

    def add_step(self, num_tokens: int, at_ns: int) -> None:
        """Tokens are out; in the order in which they are told, whoever takes them."""
        if self.steps or self.take_step is None or not self.take_step(num_tokens, at_ns):
            self.steps.append((num_tokens, at_ns))
            self._news.set()


class Exchange:
    """`begin` and `end` enclose a session that serves; between them it takes requests. An `AnswerListener`."""

    def __init__(self) -> None:
        self._session: Serving | None = None
        self._source: GatewaySource | None = None
        self._table: RequestTable | None = None
        self._tickets: dict[int, Ticket] = {}

    @property
    def is_open(self) -> bool:
        """Whether requests are taken now."""
        return self._session is not None

    def begin(self, session: Serving) -> None:
        """A session's clock starts; nothing happens if it serves nobody."""
        parts = session.parts
        if parts.gateway is None or parts.scheduler is None:
            return
        self._session, self._source, self._table = session, parts.gateway, parts.core.table
        parts.scheduler.add_guest(TokenStreams(parts.core.table, parts.gateway, self))

    def end(self) -> None:
        """It is over, and whoever still waits is told so."""
        self._session = self._source = self._table = None
        tickets, self._tickets = self._tickets, {}
        for ticket in tickets.values():
            ticket.outcome = Outcome(FinishReason.INTERRUPTED, 0, 0, {})
            ticket.tell()

    def submit(self, request: ClientRequest) -> Ticket:
        """Have a request arrive now. `HttpError` 429 if too many are open; only while it `is_open`."""
        assert self._session is not None
        assert self._source is not None
        if len(self._tickets) >= MAX_OPEN:
            raise HttpError(429, f"{MAX_OPEN:,} requests are open; send it again later", "busy", retry_after_s=1.0)
        key, arrived = self._source.accept(request)
        ticket = self._tickets[key] = Ticket(key)
        self._session.tell(arrived)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Its client is gone, or has all it wanted."""
        if self._tickets.get(ticket.key) is not ticket:
            return
        del self._tickets[ticket.key]
        assert self._session is not None
        assert self._source is not None
        if (withdrawn := self._source.withdraw(ticket.key)) is not None:
            self._session.tell(withdrawn)

    def late_s(self, at_ns: int) -> float:
        """Emulated seconds since a time of this session."""
        return 0.0 if self._session is None else (self._session.now_ns() - at_ns) / 1e9

    def produced(self, key: int, num_tokens: int, at_ns: int) -> None:
        """As `AnswerListener`."""
        ticket = self._tickets.get(key)
        if ticket is not None:
            ticket.add_step(num_tokens, at_ns)

    def ended(self, key: int, request_id: int) -> None:
        """As `AnswerListener`."""
        ticket, table = self._tickets.pop(key, None), self._table
        if ticket is not None and table is not None:
            reason, tokens = FinishReason(table.reason[request_id]), table.output_tokens[request_id]
            ticket.outcome = Outcome(reason, tokens, table.cached_tokens[request_id], stage_times_s(table, request_id))
            ticket.tell()


def stage_times_s(table: RequestTable, request_id: int) -> dict[str, float | None]:
    """Emulated seconds in each stage, as `scheduler.metrics.records` defines them; decode is what is left of E2E."""
    record = Records(table, [request_id])
    columns = {
        "queue_s": record.queue_s,
        "prefill_s": record.prefill_s,
        "kv_transfer_s": record.hand_over_s,
        "decode_s": record.e2e_s - record.ttft_s - record.hand_over_s,
        "ttft_s": record.ttft_s,
        "tpot_s": record.tpot_s,
        "e2e_s": record.e2e_s,
    }
    seconds = {name: float(column[0]) for name, column in columns.items()}
    return {name: None if value != value else round(value, 9) for name, value in seconds.items()}
