"""Runs of whole systems with live totals beside them, which are looked at now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from msgspec.structs import replace

from scheduler.core.guest import Guest
from scheduler.metrics.family import HistogramFamily
from scheduler.metrics.layout import Layout, LiveInstance
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.collector import Collector, MeteredInstance
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import own_families
from scheduler.metrics.subjects.engines import EngineTotals
from scheduler.metrics.subjects.requests import RequestTotals
from scheduler.protocol.component import NEVER_NS
from scheduler.protocol.messages import Message
from tests.naive.case import Case
from tests.sim.build import build_real
from tests.sim.losing import LosingSystem
from tests.sim.trouble import Trouble
from tests.tap import Look
from tests.unit.scheduler.metrics.lived import layout_of


def layout_for(case: Case) -> Layout:
    """The layout of a test system, one NPU to an instance."""
    prefill = [LiveInstance(f"prefill-{i}", "prefill", 1, 0) for i in range(case.num_prefill)]
    capacity = 128 * case.blocks_per_die * case.num_dies
    decode = [LiveInstance(f"decode-{i}", "decode", 1, capacity) for i in range(case.num_decode)]
    return replace(layout_of(*prefill, *decode), has_prefix_cache=case.cache_mode != "none")


class Observed:
    """A run of a whole system, in which components may be lost, with live totals that are looked at now and then.

    They are looked at before every so many messages, and at the end.
    """

    def __init__(
        self,
        case: Case,
        totals: LiveTotals | None = None,
        every: int = 7,
        interval_ns: int = NEVER_NS,
        trouble: Trouble | None = None,
    ) -> None:
        layout = layout_for(case)
        self.totals = totals or LiveTotals(layout)
        self.told: list[Message] = []
        self.snapshots: list[Snapshot] = []
        self._every = every
        metered = [MeteredInstance(i.address, i.role, i.num_npus) for i in layout.instances]
        # Who looks must do so before the totals see a message, since the core has not when they have.
        taps: list[Look | Guest] = [self._look, self.totals, self._collect]
        run: Callable[[], object]
        if trouble is None:
            system = build_real(case, report_interval_ns=interval_ns)
            run = partial(system.run, taps)
        else:
            system = LosingSystem(case, trouble, taps)
            run = system.run
        self.table = system.scheduler.table
        self.collector = Collector(self.table, metered)
        self.totals.begin(self.table, 1e-6)
        run()
        self.last = self._snapshot(self.collector.ended_ns)

    def _collect(self, now_ns: int, message: Message) -> None:
        self.collector.before(now_ns, message)

    def _look(self, now_ns: int, message: Message) -> None:
        if len(self.told) % self._every == 0:
            self._snapshot(now_ns)
        self.told.append(message)

    def _snapshot(self, now_ns: int) -> Snapshot:
        snapshot = self.totals.snapshot(now_ns)
        requests, engines = snapshot[RequestTotals], snapshot[EngineTotals]
        assert sum(requests.running) + sum(requests.waiting) == self.table.num_open
        assert sum(engines.running) == requests.running[0] + requests.running[2]
        assert sum(engines.waiting) <= sum(requests.waiting) + requests.running[1]
        assert all(0 <= usage <= 1 for usage in engines.kv_usage)
        self.snapshots.append(snapshot)
        return snapshot


def counters_of(snapshot: Snapshot) -> Iterator[tuple[str, Sequence[float]]]:
    """Names and values of everything that may only grow."""
    for family in own_families():
        if isinstance(family, HistogramFamily):
            yield (
                family.name,
                [value for totals in family.read(snapshot) for value in (*totals.counts, totals.sum_s)],
            )
        elif family.kind == "counter":
            yield family.name, family.values(snapshot)


def never_fall(snapshots: list[Snapshot]) -> bool:
    """Whether each counter of each snapshot is at least what it was in the one before."""
    rows = np.array([[value for _, values in counters_of(s) for value in values] for s in snapshots])
    return bool((np.diff(rows, axis=0) >= 0).all())
