"""Rows of a trace in its order, whenever a client is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from scheduler.protocol.component import NEVER_NS
from scheduler.sources.arrivals import ArrivalBlock
from scheduler.sources.clients.supply import Asked, GateNames, requests_of


class RowSupply:
    """A `Supply` of which all rows are ready from the start; they are read as they are asked for.

    With a gate for each class a row waits for a client of its class while later rows of others go: then what lies
    between is kept. A row for which there is no gate, or a gate for which there is no row, is a `ConfigError` when that
    is read. Errors of the trace pass through.
    """

    def __init__(self, blocks: Iterator[ArrivalBlock], gates: list[str], names: GateNames) -> None:
        self.num_given_up = 0
        self._rows = requests_of(blocks)
        self._names = names
        self._queues: Final[dict[str, deque[Asked]]] = {name: deque() for name in gates}
        self._seen = set[str]()
        self._has_read_all = False
        self._read()

    @property
    def has_more(self) -> bool:
        """As in `Supply`."""
        return not self._has_read_all or any(self._queues.values())

    def next_ns(self, gate_name: str, now_ns: int) -> int:
        """As in `Supply`."""
        queue = self._queues[gate_name]
        while not queue and not self._has_read_all:
            self._read()
        return 0 if queue else NEVER_NS

    def take(self, gate_name: str, now_ns: int) -> Asked:
        """As in `Supply`."""
        taken = self._queues[gate_name].popleft()
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
            self._names.check_used(self._seen)
            return
        name = self._names.of(asked.class_name, asked.tenant)
        self._seen.add(name)
        self._queues[name].append(asked)
