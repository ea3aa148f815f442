"""The component that plays a trace: one message for each instant at which requests arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, repeat
from typing import Final

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import ArrivalsEnded, Message, RequestsArrived
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.sources.arrivals import ArrivalBlock, Trace

NO_CLASSES: Final[list[str]] = []
NO_ANSWERS: Final[list[int]] = []
"""Shared by all messages of which no request asks for a class, or has an answer of which anything is known; messages
are never changed."""

Instant = tuple[Outputs, int]
"""Outputs of an instant, and the deadline after it."""


class TraceSource(TimingFlags):
    """Sends the requests of a trace to the core when they are due, and `ArrivalsEnded` with the last of them.

    Blocks are pulled when they are needed; payloads are sealed a block at a time, because a block is mostly instants
    of one request and what is done for each of them is the cost of a trace. The last instant of a block is kept
    until the next block shows that it is complete. Errors of the trace pass through the constructor and `wake`.
    """

    address = "source"
    priority = Priority.SOURCE

    def __init__(self, trace: Trace) -> None:
        self.deadline_ns = NEVER_NS
        self._blocks = trace.blocks
        self._block_tokens = trace.block_tokens
        self._pending = ArrivalBlock([], [], [], [], [])
        self._has_ended = False
        self._instants: Iterator[Instant] = iter(())
        self._pull()
        if len(self._pending):
            self.deadline_ns = self._pending.arrived_ns[0]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """A source is told of the end of a run only, and then sends nothing more."""
        self.deadline_ns = NEVER_NS
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """All requests of this instant as one message."""
        instant = next(self._instants, None)
        if instant is None:
            self._instants = self._next_instants()
            instant = next(self._instants)
        outputs, self.deadline_ns = instant
        return outputs

    def _next_instants(self) -> Iterator[Instant]:
        """All instants that are known to be complete, at least one."""
        pending = self._pending
        # Only more rows show where the last instant ends, so pull until there is another one, or nothing is left.
        while not self._has_ended and pending.arrived_ns[0] == pending.arrived_ns[-1]:
            self._pull()
        times_ns = pending.arrived_ns
        bounds = [0, *(row for row, (one, other) in enumerate(pairwise(times_ns), 1) if one != other)]
        if self._has_ended:
            self._pending = ArrivalBlock([], [], [], [], [])
            bounds.append(len(pending))
        else:
            self._pending = pending.part(slice(bounds[-1], None))
        return _instants(pending, bounds, self._block_tokens)

    def _pull(self) -> None:
        """Add one block to the rows that are pending; blocks of the trace itself are never changed."""
        block = next(self._blocks, None)
        if block is None:
            self._has_ended = True
            return
        self._pending.extend(block)


def _instants(pending: ArrivalBlock, bounds: list[int], block_tokens: int) -> Iterator[Instant]:
    """One instant for each pair of neighbouring row numbers in `bounds`; if they reach the last row, the trace ends.

    A generator, so that no message lives longer than it must: thousands made ahead cost as much again in garbage
    collection.
    """
    payloads = seal_output_tokens(pending.output_tokens)
    prompt_tokens, prefixes, tenants = pending.prompt_tokens, pending.prefixes, pending.tenants
    num_rows, times_ns = len(pending), pending.arrived_ns
    has_classes, has_answers = any(pending.classes), bool(pending.answers)
    if len(bounds) == num_rows == bounds[-1] + 1:
        # Every instant is one request, and the last row waits for what follows.
        named = ([name] for name in pending.classes) if has_classes else repeat(NO_CLASSES)
        answers = ([block] for block in pending.answers) if has_answers else repeat(NO_ANSWERS)
        columns = zip(prompt_tokens, payloads, prefixes, tenants, times_ns[1:], named, answers)
        for tokens, payload, prefix, tenant, deadline_ns, names, answer in columns:
            message = RequestsArrived([tokens], [payload], [prefix], [tenant], block_tokens, names, answer)
            yield ((CORE_ADDRESS, message),), deadline_ns
        return
    for start, end in pairwise(bounds):
        message = RequestsArrived(
            prompt_tokens[start:end],
            payloads[start:end],
            prefixes[start:end],
            tenants[start:end],
            block_tokens,
            pending.classes[start:end] if has_classes else NO_CLASSES,
            pending.answers[start:end] if has_answers else NO_ANSWERS,
        )
        if end < num_rows:
            yield ((CORE_ADDRESS, message),), times_ns[end]
        else:
            yield ((CORE_ADDRESS, message), (CORE_ADDRESS, ArrivalsEnded())), NEVER_NS
