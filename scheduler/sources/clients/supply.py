"""Requests that are ready, in the order in which clients take them: rows of a stream, or of a graph."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, Protocol

from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.errors import ConfigError
from scheduler.protocol.messages import NO_SESSION
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.clients.request_graph import RequestGraph


class Asked(NamedTuple):
    """One request as its client has it; `key` is its row in the trace."""

    key: int
    prompt_tokens: int
    payload: bytes
    prefix: list[int]
    tenant: int
    class_name: str
    answer: int
    session: int


class Supply(Protocol):
    """Where clients of each class find their next request. Classes are those of the gates."""

    @property
    def has_more(self) -> bool:
        """Whether a request is left that nobody has taken, ready or not."""
        ...

    def next_ns(self, class_name: str) -> int:
        """Since when the next request of a class is ready, or will be; `NEVER_NS` if none is known."""
        ...

    def take(self, class_name: str, now_ns: int) -> Asked:
        """The one that goes first of those that are ready; there must be one."""
        ...

    def ended(self, key: int, ended_ns: int, *, has_answer: bool) -> list[int]:
        """A request has ended, with its whole answer or without; returns sessions of which nothing more comes."""
        ...


class RowSupply:
    """Rows of a trace in its order, all ready from the start; read as they are asked for.

    With a gate for each class a row waits for a client of its class while later rows of others go.
    """

    def __init__(self, blocks: Iterator[ArrivalBlock], classes: list[str]) -> None:
        self._rows = _requests(blocks)
        self._queues: Final[dict[str, deque[Asked]]] = {name: deque() for name in classes}
        self._has_read_all = False
        self._read()

    @property
    def has_more(self) -> bool:
        """As in `Supply`."""
        return not self._has_read_all or any(self._queues.values())

    def next_ns(self, class_name: str) -> int:
        """As in `Supply`."""
        queue = self._queues[class_name]
        while not queue and not self._has_read_all:
            self._read()
        return 0 if queue else NEVER_NS

    def take(self, class_name: str, now_ns: int) -> Asked:
        """As in `Supply`."""
        taken = self._queues[class_name].popleft()
        if not self._has_read_all and not any(self._queues.values()):
            self._read()  # so that the last request is known as the last when it is sent
        return taken

    def ended(self, key: int, ended_ns: int, *, has_answer: bool) -> list[int]:
        """Nothing waits for it."""
        return []

    def _read(self) -> None:
        asked = next(self._rows, None)
        if asked is None:
            self._has_read_all = True
        else:
            self._queues[gate_name(self._queues, asked.class_name)].append(asked)


class GraphSupply:
    """Requests of a graph. Who goes on with what has begun comes before who begins, then who was ready first.

    What waits for a request that got no whole answer never comes: its client has nothing to go on from. With
    `at_times` rows that wait for nobody are ready at their times, else from the start.
    """

    def __init__(self, graph: RequestGraph, classes: list[str], *, at_times: bool) -> None:
        self.num_given_up = 0
        self._graph = graph
        self._num_waits = list(graph.num_waits)
        self._requests = list(_requests(iter((graph.rows,)), graph.sessions))
        self._num_left = len(self._requests)
        self._gate_names = [gate_name(classes, name) for name in graph.rows.class_names]
        # By gate: (time, row) of those that will be ready, and (begins something, time, row) of those that are.
        self._waiting: Final[dict[str, list[tuple[int, int]]]] = {name: [] for name in classes}
        self._ready: Final[dict[str, list[tuple[bool, int, int]]]] = {name: [] for name in classes}
        self._left_of_session: Final = Counter(session for session in graph.sessions if session != NO_SESSION)
        for row, num_waits in enumerate(graph.num_waits):
            if not num_waits:
                ready_ns = graph.rows.arrived_ns[row] + graph.delays_ns[row] if at_times else 0
                self._waiting[self._gate_names[row]].append((ready_ns, row))
        for waiting in self._waiting.values():
            heapify(waiting)

    @property
    def has_more(self) -> bool:
        """As in `Supply`."""
        return self._num_left > 0

    def next_ns(self, class_name: str) -> int:
        """As in `Supply`."""
        if self._ready[class_name]:
            return 0
        waiting = self._waiting[class_name]
        return waiting[0][0] if waiting else NEVER_NS

    def take(self, class_name: str, now_ns: int) -> Asked:
        """As in `Supply`."""
        waiting, ready, num_waits = self._waiting[class_name], self._ready[class_name], self._graph.num_waits
        while waiting and waiting[0][0] <= now_ns:
            ready_ns, row = heappop(waiting)
            heappush(ready, (not num_waits[row], ready_ns, row))
        self._num_left -= 1
        return self._requests[heappop(ready)[2]]

    def ended(self, key: int, ended_ns: int, *, has_answer: bool) -> list[int]:
        """As in `Supply`."""
        closed = self._left(key)
        for row in self._graph.followers.get(key, ()):
            if not has_answer:
                closed += self._give_up(row)
                continue
            self._num_waits[row] -= 1
            if not self._num_waits[row]:
                ready_ns = ended_ns + self._graph.delays_ns[row]
                heappush(self._waiting[self._gate_names[row]], (ready_ns, row))
        return closed

    def _give_up(self, first: int) -> list[int]:
        """A row and all that waits for it, straight or by others, will not come."""
        closed: list[int] = []
        rows = [first]
        while rows:
            row = rows.pop()
            if self._num_waits[row] < 0:
                continue
            self._num_waits[row] = -1
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


def gate_name(gates: Collection[str], class_name: str) -> str:
    """The gate of a class: its own, or that of all requests. `ConfigError` if no client asks for it."""
    if class_name in gates:
        return class_name
    if "" in gates:
        return ""
    known = ",".join(f"{name}=N" for name in gates)
    problem = f"requests of class {class_name!r}" if class_name else "requests without a class"
    fix = f"add {class_name}=N" if class_name else "give one number for all requests"
    raise ConfigError(f"--concurrency {known}: no client asks for {problem}; {fix}")


def _requests(blocks: Iterator[ArrivalBlock], sessions: list[int] | None = None) -> Iterator[Asked]:
    """Rows one by one, numbered from 0."""
    key = 0
    for block in blocks:
        payloads = seal_output_tokens(block.output_tokens)
        of_sessions = sessions if sessions is not None else [NO_SESSION] * len(block)
        columns = zip(
            block.prompt_tokens,
            payloads,
            block.prefixes,
            block.tenants,
            block.class_names,
            block.answer_blocks,
            of_sessions,
            strict=True,
        )
        for columns_of_row in columns:
            yield Asked(key, *columns_of_row)
            key += 1
