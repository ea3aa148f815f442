"""Who waits for what: the ticket of each request that was accepted, and readers of its answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from deploy.http.accepted.records import Accepted, Outcome
from scheduler.protocol.finish import FINISHED

NOT_OPEN: Final = -1
"""The key of a request that no session has."""


TakeStep = Callable[[int, int | None], bool]
"""Given a step as `Reader.steps` has them."""


class Ticket:
    """One request. `key` is that of the gateway in the session that runs.

    `num_tokens` are out, the last at `at_ns` of that session; `outcome` is there once nothing more comes.
    """

    def __init__(self, accepted: Accepted, outcome: Outcome | None = None) -> None:
        self.accepted: Final = accepted
        self.key = NOT_OPEN
        self.num_tokens = 0 if outcome is None else outcome.output_tokens
        self.at_ns: int | None = None
        self.outcome = outcome
        self.readers: Final[list[Reader]] = []
        self.leaving: asyncio.TimerHandle | None = None
        """Withdraws it, while nobody reads it."""

    @property
    def has_failed(self) -> bool:
        """It has ended without its whole answer."""
        return self.outcome is not None and self.outcome.reason not in FINISHED

    def reader(self, num_tokens: int) -> Reader:
        """Somebody who has so many tokens already."""
        self.keep()
        reader = Reader(self, num_tokens)
        self.readers.append(reader)
        return reader

    def keep(self) -> None:
        """Somebody waits for it."""
        if self.leaving is not None:
            self.leaving.cancel()
            self.leaving = None

    def produced(self, num_tokens: int, at_ns: int) -> None:
        """So many tokens are out in all."""
        self.num_tokens, self.at_ns = num_tokens, at_ns
        for reader in self.readers:
            reader.take(num_tokens, at_ns)

    def end(self, outcome: Outcome) -> None:
        """Nothing more comes."""
        self.outcome = outcome
        self.keep()
        for reader in self.readers:
            reader.tell()


class Reader:
    """One client's view of a ticket: `steps` are (tokens in all, emulated time in ns) that nobody has taken yet.

    The time is None where it is of a session before this one. Who begins late finds all that it lacks as one step.
    `take_step` may take a step at once, in place of whoever waits; it answers False if it cannot.
    """

    def __init__(self, ticket: Ticket, num_tokens: int) -> None:
        self.ticket: Final = ticket
        self.first: Final = num_tokens
        self.steps: Final = deque[tuple[int, int | None]]()
        self.take_step: TakeStep | None = None
        self._num_read = num_tokens
        self._news = asyncio.Event()
        self.take(ticket.num_tokens, ticket.at_ns)

    @property
    def outcome(self) -> Outcome | None:
        """That of the ticket."""
        return self.ticket.outcome

    def take(self, num_tokens: int, at_ns: int | None) -> None:
        """So many tokens are out in all; those that the client has already are passed over."""
        if num_tokens > self._num_read:
            self._num_read = num_tokens
            # In the order in which they are told, whoever takes them.
            if self.steps or self.take_step is None or not self.take_step(num_tokens, at_ns):
                self.steps.append((num_tokens, at_ns))
                self._news.set()

    async def news(self) -> None:
        """Return when there are steps or the outcome."""
        while not self.steps and self.outcome is None:
            self._news.clear()
            await self._news.wait()

    async def ended(self) -> Outcome:
        """Return when nothing more comes."""
        while (outcome := self.outcome) is None:
            self._news.clear()
            await self._news.wait()
        return outcome

    def tell(self) -> None:
        """There is news."""
        self._news.set()
