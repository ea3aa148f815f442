"""Finds the request that an `Idempotency-Key` means, while it is open and for a while after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deploy.http.accepted.records import Accepted
from deploy.http.accepted.tickets import Ticket
from deploy.http.errors import HttpError

KEPT_S: Final = 600.0
"""Wall seconds for which the outcome of a request with a key is kept."""

MAX_KEPT: Final = 4096
"""Outcomes that are kept; of more the oldest go."""


class KeptTickets:
    """Tickets by the digest of their key. `forget` is told of those whose outcome is kept no longer."""

    def __init__(self, forget: Callable[[Accepted], None]) -> None:
        self._forget = forget
        self._tickets: dict[bytes, Ticket] = {}
        # When each one ended, in that order.
        self._ended_s: dict[bytes, float] = {}

    def put(self, ticket: Ticket) -> None:
        """A request was accepted, perhaps again after one with this key failed; nothing happens if it has no key."""
        key = ticket.accepted.key
        if key:
            self._tickets[key] = ticket
            self._ended_s.pop(key, None)

    def end(self, ticket: Ticket, now_s: float) -> None:
        """It has its outcome."""
        key = ticket.accepted.key
        if key and self._tickets.get(key) is ticket:
            self._ended_s.pop(key, None)
            self._ended_s[key] = now_s
            self._drop_old(now_s)

    def find(self, accepted: Accepted, now_s: float) -> Ticket | None:
        """That of an earlier request with the same key; `HttpError` 422 if that asked for something else."""
        self._drop_old(now_s)
        ticket = self._tickets.get(accepted.key) if accepted.key else None
        if ticket is not None and ticket.accepted.body != accepted.body:
            line = "this Idempotency-Key was sent with another request; give each request a key of its own"
            raise HttpError(422, line, "idempotency_key_reused")
        return ticket

    def _drop_old(self, now_s: float) -> None:
        while self._ended_s:
            key = next(iter(self._ended_s))
            if len(self._ended_s) <= MAX_KEPT and now_s - self._ended_s[key] < KEPT_S:
                return
            del self._ended_s[key]
            self._forget(self._tickets.pop(key).accepted)
