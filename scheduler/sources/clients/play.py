"""The source of a trace that clients play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.runtime.random_streams import stream
from scheduler.sources.arrivals import Trace
from scheduler.sources.clients.client_source import ClientSource
from scheduler.sources.clients.gates import make_gates
from scheduler.sources.clients.graph_supply import GraphSupply
from scheduler.sources.clients.groups import ClientGroup
from scheduler.sources.clients.log import ClientsLog
from scheduler.sources.clients.request_graph import RequestGraph
from scheduler.sources.clients.row_supply import RowSupply
from scheduler.sources.clients.supply import GateNames

_STREAM: Final = "think time"
NO_CLASSES: Final[Mapping[int, str]] = {}


def client_source(
    trace: Trace,
    groups: Sequence[ClientGroup],
    *,
    waits: bool,
    seed: int,
    class_of_tenant: Mapping[int, str] = NO_CLASSES,
    keeps_log: bool = False,
) -> ClientSource:
    """The source of a trace for these clients; without groups as many are in flight as are ready.

    With `waits` rows wait for those that their links name, and the whole trace is read now. `class_of_tenant`: of
    tenants, the class of their requests that name none. With `keeps_log` it is kept what each request had waited for.
    InputError for rows that cannot be played so.
    """
    thinking = [group.think.draws_ns(stream(seed, f"{_STREAM} {group.class_name}")) for group in groups]
    gates = make_gates(groups, thinking)
    names = GateNames(list(gates), class_of_tenant)
    graph = RequestGraph.of(trace.blocks, trace.place) if waits else None
    if graph is not None:
        supply = GraphSupply(graph, list(gates), names, at_times=not groups)
    else:
        supply = RowSupply(trace.blocks, list(gates), names)
    return ClientSource(supply, gates, trace.block_tokens, ClientsLog.of(groups, graph, keeps_asked=keeps_log))
