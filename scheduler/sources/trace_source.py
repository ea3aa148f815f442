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
"""Shared by all messages of which no request asks for a class; messages are never changed."""

Instant = tuple[Outputs, int]
"""What to say at an instant, and the deadline after it."""


class TraceSource(TimingFlags):
    """Says the requests of a trace to the core when their time has come, and `ArrivalsEnded` with the last of them.

    Blocks are pulled when they are needed; payloads are sealed a block at a time, because a block is mostly instants
    of one request and what is done for each of them is the cost of a trace. The last instant of a block is held back
    until the next block shows that it is complete. Errors of the trace pass through the constructor and `wake`.
    """

    address = "source"
    priority = Priority.SOURCE

    def __init__(self, trace: Trace) -> None:
        self.deadline_ns = NEVER_NS
        self._blocks = trace.blocks
        self._block_tokens = trace.block_tokens
        self._held = _no_rows()
        self._has_ended = False
        self._instants: Iterator[Instant] = iter(())
        self._pull()
        if len(self._held):
            self.deadline_ns = self._held.arrived_ns[0]

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Only the end of a run is said to a source; it then stays silent."""
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
        held = self._held
        # Only more rows show where the last instant ends, so pull until there is another one, or nothing is left.
        while not self._has_ended and held.arrived_ns[0] == held.arrived_ns[-1]:
            self._pull()
        times_ns = held.arrived_ns
        bounds = [0, *(row for row, (one, other) in enumerate(pairwise(times_ns), 1) if one != other)]
        if self._has_ended:
            self._held = _no_rows()
            bounds.append(len(held))
        else:
            self._held = _rows_from(held, bounds[-1])
        return _instants(held, bounds, self._block_tokens)

    def _pull(self) -> None:
        """Add one block to the rows that are held; blocks of the trace itself are never changed."""
        block = next(self._blocks, None)
        if block is None:
            self._has_ended = True
            return
        self._held.arrived_ns.extend(block.arrived_ns)
        self._held.prompt_tokens.extend(block.prompt_tokens)
        self._held.output_tokens.extend(block.output_tokens)
        self._held.prefixes.extend(block.prefixes)
        self._held.tenants.extend(block.tenants)
        self._held.classes.extend(block.class_names)


def _instants(held: ArrivalBlock, bounds: list[int], block_tokens: int) -> Iterator[Instant]:
    """One instant for each pair of neighbouring row numbers in `bounds`; if they reach the last row, the trace ends.

    A generator, so that no message lives longer than it must: thousands made ahead cost as much again in garbage
    collection.
    """
    payloads = seal_output_tokens(held.output_tokens)
    prompt_tokens, prefixes, tenants = held.prompt_tokens, held.prefixes, held.tenants
    num_rows, times_ns = len(held), held.arrived_ns
    has_classes = any(held.classes)
    if len(bounds) == num_rows == bounds[-1] + 1:
        # Every instant is one request, and the last row waits for what follows.
        named = ([name] for name in held.classes) if has_classes else repeat(NO_CLASSES)
        columns = zip(prompt_tokens, payloads, prefixes, tenants, times_ns[1:], named)
        for tokens, payload, prefix, tenant, deadline_ns, names in columns:
            message = RequestsArrived([tokens], [payload], [prefix], [tenant], block_tokens, names)
            yield ((CORE_ADDRESS, message),), deadline_ns
        return
    for start, end in pairwise(bounds):
        message = RequestsArrived(
            prompt_tokens[start:end],
            payloads[start:end],
            prefixes[start:end],
            tenants[start:end],
            block_tokens,
            held.classes[start:end] if has_classes else NO_CLASSES,
        )
        if end < num_rows:
            yield ((CORE_ADDRESS, message),), times_ns[end]
        else:
            yield ((CORE_ADDRESS, message), (CORE_ADDRESS, ArrivalsEnded())), NEVER_NS


def _no_rows() -> ArrivalBlock:
    return ArrivalBlock([], [], [], [], [])


def _rows_from(block: ArrivalBlock, start: int) -> ArrivalBlock:
    return ArrivalBlock(
        block.arrived_ns[start:],
        block.prompt_tokens[start:],
        block.output_tokens[start:],
        block.prefixes[start:],
        block.tenants[start:],
        block.classes[start:],
    )
