"""Who asks for the rows of a case: a trace, or clients that wait."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

from scheduler.protocol.addresses import CORE_ADDRESS
from scheduler.protocol.component import NEVER_NS, NOTHING, Around, Component, Outputs, Priority, TimingFlags
from scheduler.protocol.messages import NO_ANSWER, ArrivalsEnded, Message, RequestsArrived
from scheduler.protocol.sealed_payload import seal_output_tokens
from scheduler.sources.arrivals import DELAY_NOT_GIVEN, ArrivalBlock, Links
from scheduler.sources.clients.client_source import ClientSource
from scheduler.sources.clients.gates import make_gates
from scheduler.sources.clients.graph_supply import GraphSupply
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.clients.row_supply import RowSupply
from scheduler.sources.clients.supply import GateNames
from tests.naive.case import Case, Row


class RowSource(TimingFlags):
    """A trace source of a few rows: all that arrive at one instant are one message."""

    address = "source"
    priority = Priority.SOURCE

    def __init__(self, rows: Sequence[Row], block_tokens: int) -> None:
        self._rows = list(rows)
        self._block_tokens = block_tokens
        self.deadline_ns = rows[0].arrived_ns if rows else NEVER_NS

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Nobody tells a source anything but the end of the run."""
        return NOTHING

    def wake(self, now_ns: int) -> Outputs:
        """Everything that arrives now."""
        now = [row for row in self._rows if row.arrived_ns == now_ns]
        self._rows = self._rows[len(now) :]
        self.deadline_ns = self._rows[0].arrived_ns if self._rows else NEVER_NS
        arrived = RequestsArrived(
            [row.prompt_tokens for row in now],
            seal_output_tokens([row.output_tokens for row in now]),
            [list(row.prefix) for row in now],
            [row.tenant for row in now],
            self._block_tokens,
            [],
            [NO_ANSWER if row.answer is None else row.answer for row in now],
        )
        if self._rows:
            return ((CORE_ADDRESS, arrived),)
        return ((CORE_ADDRESS, arrived), (CORE_ADDRESS, ArrivalsEnded()))


class WatchedSource(Around):
    """A source with everything that it was told, and what it answered; None in place of a message is a wake."""

    def __init__(self, inner: Component) -> None:
        super().__init__(inner)
        self.calls: list[tuple[int, Message | None, Outputs]] = []

    def handle(self, now_ns: int, message: Message) -> Outputs:
        """Pass on, and note."""
        outputs = self.inner.handle(now_ns, message)
        self.calls.append((now_ns, message, outputs))
        return outputs

    def wake(self, now_ns: int) -> Outputs:
        """Pass on, and note."""
        outputs = self.inner.wake(now_ns)
        self.calls.append((now_ns, None, outputs))
        return outputs

    def rows(self) -> list[int]:
        """The number of the row of each request, in the order in which they were sent."""
        keys: list[int] = []
        for _, _, outputs in self.calls:
            for _, said in outputs:
                if isinstance(said, RequestsArrived):
                    keys += said.keys or range(len(keys), len(keys) + len(said.prompt_tokens))
        return keys


def make_source(case: Case) -> WatchedSource:
    """Whoever asks for the rows of a case."""
    if not (case.clients or case.is_graph):
        return WatchedSource(RowSource(case.rows, case.block_tokens))
    groups = [
        ClientGroup(one.number, "" if one.tenant is None else f"c{one.tenant}", ramp_s=one.ramp_ns / 1e9)
        for one in case.clients
    ]
    gates = make_gates(groups, [cycle(one.think_ns) for one in case.clients])
    names = GateNames(list(gates), {tenant: f"c{tenant}" for tenant in (0, 1)})
    blocks = blocks_of(case)
    if case.is_graph:
        supply = GraphSupply(RequestGraph.of(blocks), list(gates), names, at_times=not groups)
    else:
        supply = RowSupply(iter(blocks), list(gates), names)
    return WatchedSource(ClientSource(supply, gates, case.block_tokens))


def blocks_of(case: Case, block_rows: int = 3) -> list[ArrivalBlock]:
    """The rows as a trace has them, a few in a block; a row that nobody names has no name."""
    numbered = list(enumerate(case.rows))
    named = {before for row in case.rows for before in row.waits_for or ()}
    return [
        ArrivalBlock(
            [row.arrived_ns for _, row in part],
            [row.prompt_tokens for _, row in part],
            [row.output_tokens for _, row in part],
            [list(row.prefix) for _, row in part],
            [row.tenant for _, row in part],
            answers=[NO_ANSWER if row.answer is None else row.answer for _, row in part],
            links=Links(
                [row.session for _, row in part],
                [f"row {number}" if number in named else None for number, _ in part],
                [None if row.waits_for is None else [f"row {before}" for before in row.waits_for] for _, row in part],
                [DELAY_NOT_GIVEN if row.delay_ns is None else row.delay_ns for _, row in part],
                [0] * len(part),
                [True] * len(part),
            ),
        )
        for start in range(0, len(case.rows), block_rows)
        for part in [numbered[start : start + block_rows]]
    ]
