"""Which source plays a trace: one that keeps to its times, or clients that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import Trace
from scheduler.sources.clients.client_source import ClientSource
from scheduler.sources.clients.gates import make_gates
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.clients.supply import GraphSupply, RowSupply

_STREAM: Final = "think time"


def client_source(trace: Trace, groups: Sequence[ClientGroup], *, waits: bool, seed: int) -> ClientSource:
    """The source of a trace for these clients; without groups as many are in flight as are ready.

    With `waits` rows wait for those that their links name, and the whole trace is read now. InputError for rows that
    cannot be played so.
    """
    thinking = [group.think.draws_ns(stream(seed, f"{_STREAM} {group.class_name}")) for group in groups]
    gates = make_gates(groups, thinking)
    if waits:
        supply = GraphSupply(RequestGraph.of(trace.blocks, trace.name), list(gates), at_times=not groups)
    else:
        supply = RowSupply(trace.blocks, list(gates))
    return ClientSource(supply, gates, trace.block_tokens)
