"""No counter that is scraped ever falls, whatever is late, breaks, dies or is interrupted."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from scheduler.core.guest import Guest
from scheduler.core.request_table import NOT_YET
from scheduler.core.scheduler import Scheduler
from scheduler.metrics.facility import Ground
from scheduler.metrics.layout import Layout, LiveInstance, WatchedSupernode
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.records import Records
from scheduler.metrics.snapshot import Snapshot
from scheduler.metrics.subject import RunOutcome
from scheduler.metrics.subjects.fabric import FabricTotals
from scheduler.metrics.subjects.instances import InstanceTotals
from scheduler.protocol.component import NOTHING, Outputs
from scheduler.protocol.messages import FailParts, Message, RepairParts
from sim_hw.network.lines import LineEnd
from tests.made_up_lines import part_of
from tests.small_system import DECODE, MS, PREFILL, WORKERS, make_control, make_worker, small_spec
from tests.unit.scheduler.metrics.observed import counters_of, never_fall
from tests.unit.scheduler.runtime.fakes import FakeCluster

EVERY = 5
"""Messages between two looks."""

HOSTS = ("fabric", *PREFILL, *DECODE)
PARTS = [part_of(LineEnd.RDMA_DIE, number) for number in range(8)]


def layout() -> Layout:
    instances = [LiveInstance(address, "prefill", 2, 20_000) for address in PREFILL]
    instances += [LiveInstance(address, "decode", 2, 50_000) for address in DECODE]
    hosts = {"fabric": ("fabric", "cache"), **{one.address: (one.address,) for one in instances}}
    return Layout("1", tuple(instances), hosts, (WatchedSupernode(Ground(8, 4)),), plane_bytes_per_s=(1e12, 1e12, 1e12))


class Onlooker(Guest):
    """Looks at the totals now and then."""

    def __init__(self, totals: LiveTotals, snapshots: list[Snapshot]) -> None:
        self._totals = totals
        self._snapshots = snapshots
        self.num_heard = 0

    def before(self, now_ns: int, message: Message) -> Outputs:
        """Every so many messages."""
        self.num_heard += 1
        if self.num_heard % EVERY == 0:
            self._snapshots.append(self._totals.snapshot(now_ns))
        return NOTHING


async def one_session(draws: Random, totals: LiveTotals, snapshots: list[Snapshot]) -> Any:
    """Requests, parts that break and are repaired, hosts that die, and now and then an early end."""
    spec = small_spec(60, rate_per_s=25.0, max_output=120, seed=draws.randrange(99), report_interval_ns=20 * MS)
    parts = make_control(spec)
    cluster = FakeCluster(
        parts,
        WORKERS,
        lambda address, began_ns: make_worker({**spec, "began_ns": began_ns}, address),
        turns=lambda: draws.randrange(1, 9),
        late_ns=lambda: draws.choice((0, 0, 1, 3)) * MS,
        metered=(*PREFILL, *DECODE),
    )
    assert isinstance(parts.core, Scheduler)
    onlooker = Onlooker(totals, snapshots)
    totals.begin(parts.core.table, 1.0, cluster.runtime.lateness)
    parts.core.add_guest(onlooker)
    parts.core.add_guest(totals)
    running = asyncio.create_task(cluster.run())
    turns, is_cut_short = 0, draws.random() < 0.3
    while not running.done():
        await asyncio.sleep(0)
        turns += 1
        if turns % 700:
            continue
        match draws.randrange(4):
            case 0:
                cluster.runtime.tell(FailParts(draws.sample(PARTS, 2)))
            case 1:
                cluster.runtime.tell(RepairParts(PARTS))
            case 2 if (host := draws.choice(HOSTS)) in cluster.transport._loops:
                cluster.transport.kill(host)
            case _ if is_cut_short and turns > 10_000:
                cluster.runtime.stop()
            case _:
                cluster.runtime.tell(RepairParts(PARTS))
    end = running.result()
    outcome: RunOutcome = "interrupted" if end.interrupted else "completed"
    totals.end(outcome)
    snapshots.append(totals.snapshot())
    return parts.core.table


@pytest.mark.parametrize("seed", range(8))
def test_no_counter_falls_and_no_time_is_negative(seed: int) -> None:
    draws = Random(seed)
    totals = LiveTotals(layout())
    snapshots = [totals.snapshot()]
    for _ in range(2):
        table = asyncio.run(one_session(draws, totals, snapshots))
        records = Records(table)
        for name in ("queue_s", "prefill_s", "ttft_s", "hand_over_s", "tpot_s", "e2e_s"):
            assert not (getattr(records, name) < 0).any(), name
        assert not (records.reason == NOT_YET).any()
    assert never_fall(snapshots), fallen(snapshots)
    assert sum(snapshots[-1][FabricTotals].flow_transfers) > 50
    assert sum(snapshots[-1][InstanceTotals].restarts) + any(one[FabricTotals].failed_parts for one in snapshots)


def fallen(snapshots: list[Snapshot]) -> list[str]:
    """Names of counters that fell."""
    rows = [dict(counters_of(one)) for one in snapshots]
    return [
        name
        for before, after in pairwise(rows)
        for name, values in before.items()
        if any(new < old for old, new in zip(values, after[name], strict=True))
    ]
