"""Clients that wait, in the naive simulation: rows and clients as lists, all of which are scanned at every turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.naive.case import NEVER, Case, delay_ns, waits_for
from tests.naive.request import Request
from tests.naive.world import Actor, World

ANSWERED = ("STOP", "LENGTH")


@dataclass
class Client:
    """One who has a request in flight, or is free at a time."""

    group: int
    free_ns: int
    request: Request | None = None


class ClosedLoop(Actor):
    """Asks for what is ready whenever somebody is free for it."""

    priority = 0

    def __init__(self, world: World, case: Case) -> None:
        super().__init__(world)
        self.case = case
        self.requests = [Request(row) for row in case.rows]
        self.was_asked = [False] * len(case.rows)
        self.clients = [
            Client(group, number * one.ramp_ns // one.number)
            for group, one in enumerate(case.clients)
            for number in range(one.number)
        ]
        self.num_thoughts = [0] * len(case.clients)
        self.has_told_end = False
        self.tell: Callable[[list[Request]], None] | None = None
        self.tell_end: Callable[[], None] | None = None
        self._await_next()

    @property
    def left(self) -> list[Request]:
        """Those that may come yet."""
        rows = range(len(self.requests))
        return [self.requests[row] for row in rows if not self.was_asked[row] and not self._never_comes(row)]

    def fall_due(self) -> None:
        """A client is free, or a request ready."""
        self._ask()

    def on_ended(self, requests: list[Request]) -> None:
        """Their clients think now, and others may go on."""
        for request in requests:
            for client in self.clients:
                if client.request is request:
                    think_ns = self.case.clients[client.group].think_ns
                    client.request = None
                    client.free_ns = request.ended_ns + think_ns[self.num_thoughts[client.group] % len(think_ns)]
                    self.num_thoughts[client.group] += 1
        self._ask()

    def _ask(self) -> None:
        now_ns = self.world.now_ns
        asked: list[Request] = []
        for group in range(len(self.case.clients)) if self.case.clients else [None]:
            while True:
                row, client = self._first_row(group), self._first_client(group)
                if row is None or (self.case.clients and client is None):
                    break
                self.was_asked[row] = True
                self.requests[row].arrived_ns = now_ns
                if client is not None:
                    client.request = self.requests[row]
                asked.append(self.requests[row])
        assert self.tell is not None
        assert self.tell_end is not None
        if asked:
            self.world.say(self.tell, asked)
        if not self.left and not self.has_told_end:
            self.has_told_end = True
            self.world.say(self.tell_end)
        self._await_next()

    def _first_client(self, group: int | None) -> Client | None:
        """One of a group who is free."""
        for client in self.clients:
            if client.group == group and client.request is None and client.free_ns <= self.world.now_ns:
                return client
        return None

    def _first_row(self, group: int | None) -> int | None:
        """Of the rows for a group that are ready: who goes on with something, then who was ready first."""
        first: tuple[bool, int, int] | None = None
        for row in self._rows_of(group):
            ready_ns = self._ready_ns(row)
            if ready_ns is None or ready_ns > self.world.now_ns:
                continue
            rank = (not self._waits_for(row), ready_ns, row)
            if first is None or rank < first:
                first = rank
        return None if first is None else first[2]

    def _rows_of(self, group: int | None) -> list[int]:
        """Those nobody has asked for yet."""
        tenant = None if group is None else self.case.clients[group].tenant
        return [
            row
            for row, request in enumerate(self.requests)
            if not self.was_asked[row] and (tenant is None or request.tenant == tenant)
        ]

    def _waits_for(self, row: int) -> list[int]:
        return waits_for(self.case, row)

    def _never_comes(self, row: int) -> bool:
        """Something that it waits for got no whole answer, or never comes."""
        for before in self._waits_for(row):
            if self.requests[before].ended_ns != NEVER and self.requests[before].reason not in ANSWERED:
                return True
            if self._never_comes(before):
                return True
        return False

    def _ready_ns(self, row: int) -> int | None:
        """None where that is not known."""
        befores = self._waits_for(row)
        if not befores:
            return self.case.rows[row].arrived_ns if not self.case.clients else 0
        if self._never_comes(row) or any(self.requests[before].ended_ns == NEVER for before in befores):
            return None
        return max(self.requests[before].ended_ns for before in befores) + delay_ns(self.case, row)

    def _await_next(self) -> None:
        """The first time at which somebody is free and something for it is ready."""
        times_ns: list[int] = []
        for group in range(len(self.case.clients)) if self.case.clients else [None]:
            ready_ns = [ns for ns in map(self._ready_ns, self._rows_of(group)) if ns is not None]
            free_ns = [one.free_ns for one in self.clients if one.group == group and one.request is None]
            if ready_ns and (free_ns or group is None):
                times_ns.append(max(min(ready_ns), min(free_ns, default=0)))
        self.due_ns = min(times_ns, default=None)
