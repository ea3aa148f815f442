"""Hands requests to the session that runs, and brings what comes of them back to whoever waits."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from msgspec.structs import replace

from deploy.http.accepted.book import RequestBook
from deploy.http.accepted.records import Accepted, Outcome
from deploy.http.accepted.tickets import Reader, Ticket
from deploy.http.errors import HttpError
from deploy.http.prompts import BlockNumbers
from deploy.live.session import ControlParts
from deploy.terminal.output import tell
from scheduler.core.request_table import RequestTable
from scheduler.gateway.gateway_source import GatewaySource
from scheduler.gateway.token_streams import TokenStreams
from scheduler.metrics.records import Records
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import JournalError
from scheduler.protocol.finish import FinishReason
from scheduler.protocol.messages import Message
from scheduler.runtime.clock import monotonic_s

MAX_OPEN: Final = 2048
"""Requests that may be open at once; one more is told to come again."""

RETURN_S: Final = 60.0
"""Wall seconds for which a request with a key goes on when its client is gone, who may come again."""

STOPPING: Final = "the cluster is being taken down"

LOOK_S: Final = 1.0
"""Wall seconds between two looks whether a file that was damaged can be read."""


class Serving(Protocol):
    """A session, as far as clients have to do with it."""

    @property
    def parts(self) -> ControlParts:
        """What it runs."""
        ...

    def now_ns(self, ago_s: float = 0.0) -> int:
        """Emulated time, so many seconds ago on the wall."""
        ...

    def tell(self, message: Message, at_ns: int = NEVER_NS) -> None:
        """Say something to the core as of a time that is past, or now."""
        ...


class Exchange:
    """`begin` and `end` enclose a session that serves; between them it takes requests. An `AnswerListener`.

    With an `accepted_path` each request is noted there before it arrives, and its end when it has ended. The first
    session goes on with what a process before this one left open. `blocks` numbers those of prompts.
    """

    def __init__(self, accepted_path: str = "", blocks: BlockNumbers | None = None) -> None:
        self.blocks: Final = blocks or BlockNumbers()
        self.trouble = ""
        """Why the file of accepted requests cannot be read, and what to do; then nothing is taken."""
        self._path = accepted_path
        self._book = RequestBook(accepted_path)
        self._waiting: Serving | None = None
        self._looked_s = 0.0
        self._is_stopping = False
        self._session: Serving | None = None
        self._source: GatewaySource | None = None
        self._table: RequestTable | None = None
        self._tickets: dict[int, Ticket] = {}
        # Accepted, and in no session until the next one begins.
        self._between: list[Ticket] = []

    @property
    def is_open(self) -> bool:
        """Whether requests are taken now; a file that could not be read is looked at again."""
        if self._waiting is not None and monotonic_s() - self._looked_s > LOOK_S:
            self.begin(self._waiting)
        return self._session is not None

    @property
    def is_stopping(self) -> bool:
        """Whether new requests are taken no more, for good."""
        return self._is_stopping

    @property
    def num_read(self) -> int:
        """Open requests whose clients are there."""
        return sum(1 for ticket in (*self._tickets.values(), *self._between) if ticket.readers)

    def begin(self, session: Serving) -> None:
        """A session's clock starts; nothing happens if it serves nobody."""
        parts = session.parts
        if parts.gateway is None or parts.scheduler is None:
            return
        try:
            self._between += self._book.open()
        except (JournalError, OSError) as error:
            self._waiting, self._looked_s = session, monotonic_s()
            self.trouble = str(error) if isinstance(error, JournalError) else f"{self._path}: {error.strerror}"
            tell(f"http: no request is taken: {self.trouble}")
            return
        self._waiting, self.trouble = None, ""
        self._session, self._source, self._table = session, parts.gateway, parts.core.table
        parts.scheduler.add_guest(TokenStreams(parts.core.table, parts.gateway, self))
        between, self._between = self._between, []
        for ticket in between:
            self.blocks.skip(ticket.accepted.request.prefix)
            self._arrive(ticket)

    def end(self, *, goes_on: bool = False) -> None:
        """It is over. Whoever still waits is told so, or waits for the next session if it `goes_on`."""
        self._session = self._source = self._table = self._waiting = None
        tickets = [*self._between, *self._tickets.values()]
        self._tickets, self._between = {}, tickets if goes_on else []
        for ticket in [] if goes_on else tickets:
            self._book.end(ticket, Outcome(FinishReason.INTERRUPTED, 0, 0, {}))

    def stop_taking(self) -> None:
        """Whoever sends a new request from now on is told to come again; those that are open go on."""
        self._is_stopping = True

    def take(self, accepted: Accepted, num_tokens: int = 0, ago_s: float = 0.0) -> Reader:
        """A reader, who has so many tokens already, of this request, or of the one before it with the same key.

        It arrives if there is none, or that one failed: as of so many wall seconds ago, when it had come in. Only
        while the exchange `is_open`. `HttpError` 422 if another request had this key, 404 if a client goes on with one
        that is known no longer, 429 if too many are open, 503 if no new one is taken.
        """
        known = self._book.find(accepted)
        if known is not None and not known.has_failed:
            return known.reader(num_tokens)
        if known is not None:
            before = known.accepted
            accepted = replace(accepted, request_id=before.request_id, created_s=before.created_s)
        elif num_tokens:
            line = "no answer is kept under this Idempotency-Key; send it without Last-Event-ID for a new one"
            raise HttpError(404, line, "answer_not_kept")
        if self._is_stopping:
            raise HttpError(503, STOPPING, "stopping", retry_after_s=5.0)
        if len(self._tickets) >= MAX_OPEN:
            raise HttpError(429, f"{MAX_OPEN:,} requests are open; send it again later", "busy", retry_after_s=1.0)
        ticket = self._book.accept(accepted)
        reader = ticket.reader(num_tokens)
        self._arrive(ticket, ago_s)
        return reader

    def _arrive(self, ticket: Ticket, ago_s: float = 0.0) -> None:
        assert self._session is not None
        assert self._source is not None
        ticket.key, arrived = self._source.accept(ticket.accepted.request, self._session.now_ns(ago_s))
        self._tickets[ticket.key] = ticket
        self._session.tell(arrived, arrived.arrived_ns)

    def leave(self, reader: Reader) -> None:
        """Its client is gone, or has all it wanted. A request that nobody reads is withdrawn: at once, or, if there is
        a key to come again with, after a while."""
        ticket = reader.ticket
        ticket.readers.remove(reader)
        if ticket.readers or ticket.outcome is not None:
            return
        if ticket.accepted.key:
            ticket.leaving = asyncio.get_running_loop().call_later(RETURN_S, self._withdraw, ticket)
        else:
            self._withdraw(ticket)

    def _withdraw(self, ticket: Ticket) -> None:
        ticket.leaving = None
        if self._session is None or self._source is None:
            self._between.remove(ticket)
        else:
            del self._tickets[ticket.key]
            if (withdrawn := self._source.withdraw(ticket.key)) is not None:
                self._session.tell(withdrawn)
        self._book.end(ticket, Outcome(FinishReason.CANCELLED, 0, 0, {}))

    def late_s(self, at_ns: int) -> float:
        """Emulated seconds since a time of this session."""
        return 0.0 if self._session is None else (self._session.now_ns() - at_ns) / 1e9

    def produced(self, key: int, num_tokens: int, at_ns: int) -> None:
        """As `AnswerListener`."""
        ticket = self._tickets.get(key)
        if ticket is not None:
            ticket.produced(num_tokens, at_ns)

    def ended(self, key: int, request_id: int) -> None:
        """As `AnswerListener`. What is open when a session ends is left to `end`, which knows whether it goes on."""
        table = self._table
        if table is None or key not in self._tickets:
            return
        reason, tokens = FinishReason(table.reason[request_id]), table.output_tokens[request_id]
        if reason is not FinishReason.INTERRUPTED:
            ticket = self._tickets.pop(key)
            times_s = stage_times_s(table, request_id)
            self._book.end(ticket, Outcome(reason, tokens, table.cached_tokens[request_id], times_s))


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
