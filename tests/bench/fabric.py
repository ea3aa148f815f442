"""What contention costs: one flow among 10,000 others, and a replay beside one whose links nobody can fill."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deploy.run.collecting import make_collector
from deploy.settings.settings import Settings
from deploy.system.blueprint import Blueprint
from scheduler.protocol.addresses import CACHE_ADDRESS, FABRIC_ADDRESS
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import CancelTransfer, StartTransfer
from scheduler.runtime.virtual import VirtualRuntime
from scheduler.sources.trace_source import TraceSource
from scheduler.sources.traces.options import TraceOptions
from scheduler.sources.traces.registry import open_trace
from sim_hw.network.lines import LineEnd
from workers.fabric.fabric import Fabric
from workers.fabric.routes import LinkRates

_ACTIVE: Final = 10_000
_FLOWS: Final = 50
_TOKENS: Final = 1_000_000_000
"""So many of each of the flows under way that none ends."""
_RUNS: Final = 3


def flow_us(kind: TransferKind) -> float:
    """Median microseconds to start a flow, share the links anew, give it up and share again, 10,000 others on them."""
    blueprint = Blueprint(Settings.from_plain({}), 512)
    fabric = blueprint.make_worker(FABRIC_ADDRESS)
    assert isinstance(fabric, Fabric)
    dies = 2 * blueprint.decode[0].num_npus
    prefill = [spec.address for spec in blueprint.prefill]

    def start(number: int) -> StartTransfer:
        address = prefill[number % len(prefill)]
        if kind is TransferKind.CACHE_READ:
            return StartTransfer(number, kind, Plane.UB, CACHE_ADDRESS, address, [_TOKENS], [], True)
        # A stride that shares no factor with the number of dies spreads flows over all pairs of lines.
        ends = address, blueprint.decode[0].address
        return StartTransfer(number, kind, Plane.RDMA, *ends, [_TOKENS], [number * 7919 % dies], True)

    for number in range(_ACTIVE):
        fabric.handle(0, start(number))
    fabric.wake(0)
    taken_ns: list[int] = []
    for number in range(_ACTIVE, _ACTIVE + _FLOWS):
        started_ns = time.perf_counter_ns()
        fabric.handle(number, start(number))
        fabric.wake(number)
        fabric.handle(number + 1, CancelTransfer(number))
        fabric.wake(number + 1)
        taken_ns.append(time.perf_counter_ns() - started_ns)
    return median(taken_ns) / 1000


@dataclass(frozen=True)
class _Unlimited:
    """The same lines, a million times as fast."""

    rates: LinkRates

    def bytes_per_s(self, end: LineEnd, failed: Collection[str] = ()) -> NDArray[np.float64]:
        return self.rates.bytes_per_s(end, failed) * 1e6


@dataclass(frozen=True)
class ContentionCost:
    """CPU seconds of a replay with links as they are and with links that never bind, run in turn."""

    contended_s: float
    unlimited_s: float

    @property
    def ratio(self) -> float:
        return self.contended_s / self.unlimited_s


def contention_cost(trace: str) -> ContentionCost:
    """Medians of some runs of each."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(_RUNS):
        for is_contended in taken:
            taken[is_contended].append(_replay_s(trace, is_contended=is_contended))
    return ContentionCost(median(taken[True]), median(taken[False]))


def _replay_s(path: str, *, is_contended: bool) -> float:
    trace = open_trace(path, options=TraceOptions())
    blueprint = Blueprint(Settings.from_plain({}), trace.block_tokens)
    core = blueprint.make_core()
    workers = [blueprint.make_worker(address) for address in blueprint.worker_addresses]
    if not is_contended:
        config = blueprint._fabric_config()
        unlimited = Fabric(replace(config, rates=_Unlimited(config.rates)))
        workers = [unlimited if isinstance(worker, Fabric) else worker for worker in workers]
    collector = make_collector(blueprint, core.table)
    core.add_guest(collector)
    runtime = VirtualRuntime([TraceSource(trace), core, *workers], core.address)
    started_s = time.process_time()
    runtime.run()
    return time.process_time() - started_s
