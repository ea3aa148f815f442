"""Instances that change to another version of the weights, one after the other.

An instance that is to change takes nothing new. When nothing depends on it any more, whoever told of the change hears
`InstanceDrained` and has it start anew.
"""

from __future__ import annotations

from collections import deque

from scheduler.core.fleet import Stage
from scheduler.core.guests.weight_loads import WeightLoads
from scheduler.core.losses import Losses, begun_again
from scheduler.core.state import SchedulerState
from scheduler.protocol.addresses import OPERATOR_ADDRESS
from scheduler.protocol.messages import ChangeModel, InstanceDrained, Message


class WeightChanges:
    """Knows whose turn it is."""

    def __init__(self, books: SchedulerState, losses: Losses, loads: WeightLoads) -> None:
        self._books = books
        self._down = losses.down
        self._loads = loads
        self._waiting: deque[tuple[str, str]] = deque()
        # Who changes now, and whether it was told to be drained.
        self._current: tuple[str, str] | None = None
        self._is_told = False

    @property
    def is_busy(self) -> bool:
        """Whether anybody changes or is to."""
        return self._current is not None or bool(self._waiting)

    def on_told(self, message: ChangeModel) -> None:
        """These are to change, after those that were to before."""
        self._waiting += [(address, message.version) for address in message.addresses]

    def lose(self, addresses: list[str]) -> None:
        """Who stands in the place of one that was to change loads the new version, whyever it was lost."""
        if self._current is not None and self._current[0] in addresses:
            self._loads.change(*self._current, is_drained=self._is_told)

    def join(self, addresses: list[str]) -> None:
        """Whoever has joined with its new version lets the next one change."""
        if self._current is not None and self._current[0] in addresses and self._loads.has(*self._current):
            self._current = None

    def look(self) -> list[tuple[str, Message]]:
        """Something has changed: answers who has nothing to do any more and may start anew."""
        if self._current is None:
            if not self._waiting:
                return []
            self._current, self._is_told = self._waiting.popleft(), False
        address = self._current[0]
        if self._is_told or address in self._down:
            return []
        stage = self._stage_of(address)
        index = stage.index[address]
        stage.drain(index)
        if stage.outstanding_requests[index] or self._is_needed(stage, index):
            return []
        self._is_told = True
        return [(OPERATOR_ADDRESS, InstanceDrained(address))]

    def _stage_of(self, address: str) -> Stage:
        return self._books.prefill if address in self._books.prefill.index else self._books.decode

    def _is_needed(self, stage: Stage, index: int) -> bool:
        """Whether a request would have to begin again without it: its KV may still lie there."""
        books, where = self._books, {index}
        is_prefill = stage is books.prefill
        prefill, decode = (where, set[int]()) if is_prefill else (set[int](), where)
        return bool(begun_again(books.table, books.open.payloads, prefill, decode, ()))
