"""Requests that wait for others: ready when those have ended and some time has passed."""

from __future__ import annotations

from collections import Counter
from typing import Final

from scheduler.protocol.messages import NO_SESSION
from scheduler.sources.clients.ready_queue import ReadyQueue
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.clients.supply import Asked, GateNames, requests_of

_NEVER_COMES: Final = -1
"""In place of the number of ends that a row waits for."""


class GraphSupply:
    """A `Supply` of the requests of a graph, each gate's in the order that `ReadyQueue` keeps.

    What waits for a request that got no whole answer never comes: its client has nothing to go on from. With
    `at_times` rows that wait for nobody are ready at their times, else from the start.
    """

    def __init__(self, graph: RequestGraph, gates: list[str], names: GateNames, *, at_times: bool) -> None:
        self.num_given_up = 0
        self._graph = graph
        self._num_waits = list(graph.num_waits)
        self._last_end_ns = [0] * len(graph.rows)
        self._requests: Final[list[Asked]] = list(requests_of((graph.rows,), graph.sessions))
        self._num_left = len(self._requests)
        self._queues: Final[dict[str, ReadyQueue]] = {name: ReadyQueue() for name in gates}
        of_rows = [names.of(one.class_name, one.tenant) for one in self._requests]
        names.check_used(set(of_rows))
        self._queue_of_row: Final = [self._queues[name] for name in of_rows]
        self._left_of_session: Final = Counter(session for session in graph.sessions if session != NO_SESSION)
        for row, num_waits in enumerate(graph.num_waits):
            if not num_waits:
                ready_ns = graph.rows.arrived_ns[row] if at_times else 0
                self._queue_of_row[row].add(row, ready_ns, begins=True)

    @property
    def has_more(self) -> bool:
        """As in `Supply`."""
        return self._num_left > 0

    def next_ns(self, gate_name: str, now_ns: int) -> int:
        """As in `Supply`."""
        return self._queues[gate_name].next_ns(now_ns)

    def take(self, gate_name: str, now_ns: int) -> Asked:
        """As in `Supply`."""
        self._num_left -= 1
        return self._requests[self._queues[gate_name].take(now_ns)]

    def ended(self, key: int, ended_ns: int, *, has_answer: bool) -> list[int]:
        """As in `Supply`."""
        closed = self._left(key)
        num_waits, last_end_ns = self._num_waits, self._last_end_ns
        for row in self._graph.followers.get(key, ()):
            if not has_answer:
                closed += self._give_up(row)
            elif num_waits[row] != _NEVER_COMES:
                num_waits[row] -= 1
                # The end that is heard of last need not be the last: of some is heard late.
                last_ns = last_end_ns[row] = max(last_end_ns[row], ended_ns)
                if not num_waits[row]:
                    self._queue_of_row[row].add(row, last_ns + self._graph.delays_ns[row], begins=False)
        return closed

    def _give_up(self, first: int) -> list[int]:
        """A row and all that waits for it, straight or by others, will not come."""
        closed: list[int] = []
        rows = [first]
        while rows:
            row = rows.pop()
            if self._num_waits[row] == _NEVER_COMES:
                continue
            self._num_waits[row] = _NEVER_COMES
            self._num_left -= 1
            self.num_given_up += 1
            closed += self._left(row)
            rows.extend(self._graph.followers.get(row, ()))
        return closed

    def _left(self, row: int) -> list[int]:
        session = self._graph.sessions[row]
        if session == NO_SESSION:
            return []
        self._left_of_session[session] -= 1
        return [] if self._left_of_session[session] else [session]
