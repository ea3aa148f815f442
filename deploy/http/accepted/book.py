"""The book of accepted requests: what the file holds, and what clients can ask for by their keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deploy.http.accepted.file import AcceptedFile
from deploy.http.accepted.kept import KeptTickets
from deploy.http.accepted.records import Accepted, Ended, Outcome
from deploy.http.accepted.tickets import Ticket
from deploy.http.errors import HttpError
from deploy.terminal.output import tell
from scheduler.protocol.errors import ClusterError
from scheduler.runtime.clock import NS_PER_S, monotonic_s, wall_now_ns


class RequestBook:
    """`open` first; then `find`, `accept` and `end`. Without a path nothing is written, and nothing outlives us."""

    def __init__(self, path: str = "") -> None:
        self._path: Final = path
        self._file: AcceptedFile | None = None
        self._kept = KeptTickets(self._forget)

    def open(self) -> list[Ticket]:
        """Tickets of the requests that a process before this one left open; a second call does nothing.

        `JournalError` if the file is damaged, `OSError` if it cannot be read or written.
        """
        if not self._path or self._file is not None:
            return []
        file = self._file = AcceptedFile(self._path)
        if file.cut_at is not None:
            tell(f"http: {self._path}: cut off a record that was not whole, at byte {file.cut_at}")
        tickets = [(Ticket(known.accepted, known.outcome), known.ended) for known in file.known.values()]
        for ticket, _ in tickets:
            self._kept.put(ticket)
        now_s, wall_s = monotonic_s(), wall_now_ns() / NS_PER_S
        ended = [(one.ended_s, ticket) for ticket, one in tickets if one is not None]
        for ended_s, ticket in sorted(ended, key=lambda one: one[0]):
            self._kept.end(ticket, now_s - max(0.0, wall_s - ended_s))
        left_open = [ticket for ticket, one in tickets if one is None]
        if left_open:
            tell(f"http: {self._path}: goes on with {len(left_open)} requests that were accepted before")
        return left_open

    def find(self, accepted: Accepted) -> Ticket | None:
        """The ticket of an earlier request with this key; `HttpError` 422 if that asked for something else."""
        return self._kept.find(accepted, monotonic_s())

    def accept(self, accepted: Accepted) -> Ticket:
        """Its ticket, once it is noted; `HttpError` 503 if it cannot be."""
        if self._file is not None:
            try:
                self._file.accept(accepted)
            except ClusterError as error:
                tell(f"http: a request cannot be accepted: {error}")
                line = "the request cannot be noted, so that it might be lost; send it again later"
                raise HttpError(503, line, "not_noted", retry_after_s=5.0) from None
        ticket = Ticket(accepted)
        self._kept.put(ticket)
        return ticket

    def end(self, ticket: Ticket, outcome: Outcome) -> None:
        """Note what came of it, then tell whoever waits."""
        ended = Ended(ticket.accepted.request_id, wall_now_ns() // NS_PER_S, outcome)
        self._try_to_note(lambda file: file.end(ticket.accepted, ended))
        ticket.end(outcome)
        self._kept.end(ticket, monotonic_s())

    def _forget(self, accepted: Accepted) -> None:
        self._try_to_note(lambda file: file.forget(accepted))

    def _try_to_note(self, note: Callable[[AcceptedFile], None]) -> None:
        """An end that cannot be noted is computed once more by the next process: a pity, and no loss."""
        if self._file is not None:
            try:
                note(self._file)
            except ClusterError as error:
                tell(f"http: the end of a request is not noted: {error}")
