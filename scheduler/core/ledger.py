"""Every request's state and time stamps, as columns by dense request id."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Final

from scheduler.core.lifecycle import FLAT_TABLE, ILLEGAL, NUM_EVENTS, Event, State
from scheduler.protocol.errors import LifecycleError
from scheduler.protocol.finish import FinishReason

NOT_YET: Final = -1
"""A time stamp or an instance index that a request does not have (yet)."""


class Ledger:
    """Columns grow by one row a request and are read without a copy when the run has ended.

    Time stamps are emulated nanoseconds, `NOT_YET` until they happen. The ledger owns INV-1 (exactly one end) and
    INV-2 (states change only by the table).
    """

    def __init__(self) -> None:
        self.state = bytearray()
        self.reason = bytearray()
        self.preemptions = array("H")
        self.prefill_instance = array("h")
        self.decode_instance = array("h")
        self.prompt_tokens = array("i")
        self.cached_tokens = array("i")
        self.output_tokens = array("i")
        self.arrived_ns = array("q")
        self.prefill_started_ns = array("q")
        self.first_token_ns = array("q")
        self.decode_started_ns = array("q")
        self.last_token_ns = array("q")
        self.ended_ns = array("q")
        self.num_open = 0

    def __len__(self) -> int:
        return len(self.state)

    def add(self, now_ns: int, prompt_tokens: list[int]) -> range:
        """New requests in `ARRIVED`; answers their ids."""
        first = len(self.state)
        count = len(prompt_tokens)
        self.state.extend(bytes(count))
        self.reason.extend(bytes(count))
        self.preemptions.extend([0] * count)
        self.prompt_tokens.extend(prompt_tokens)
        self.arrived_ns.extend([now_ns] * count)
        nothing = [0] * count
        for column in (self.cached_tokens, self.output_tokens):
            column.extend(nothing)
        not_yet = [NOT_YET] * count
        for column in (
            self.prefill_instance,
            self.decode_instance,
            self.prefill_started_ns,
            self.first_token_ns,
            self.decode_started_ns,
            self.last_token_ns,
            self.ended_ns,
        ):
            column.extend(not_yet)
        self.num_open += count
        return range(first, first + count)

    def move(self, event: Event, ids: Iterable[int]) -> None:
        """Apply one event to many requests; an illegal one raises `LifecycleError` and leaves that request as it was."""
        state = self.state
        offset = int(event)
        for request_id in ids:
            successor = FLAT_TABLE[state[request_id] * NUM_EVENTS + offset]
            if successor == ILLEGAL:
                raise LifecycleError(request_id, State(state[request_id]).name, event.name)
            state[request_id] = successor

    def end(self, ids: Iterable[int], reason: FinishReason, now_ns: int) -> int:
        """End requests for one reason; answers how many there were."""
        ids = list(ids)
        self.move(Event.END, ids)
        for request_id in ids:
            self.reason[request_id] = reason
            self.ended_ns[request_id] = now_ns
        self.num_open -= len(ids)
        return len(ids)
