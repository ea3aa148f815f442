"""Transfers and broken parts as a live system shows them, and what the planes of a run come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.request_table import RequestTable
from scheduler.metrics.bucket_bounds import TRANSFER_BOUNDS_S
from scheduler.metrics.live.status import status
from scheduler.metrics.live.totals import LiveTotals
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.subjects.fabric import FLOWS, FabricCapacity, FabricTotals, availability, fabric_use
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import PartsChanged, RunEnded, TransferDone, TransferFailed
from tests.unit.scheduler.metrics.lived import DECODE, PREFILL, layout_of

BROKEN = PartsChanged(5, ["l2/3/7", "npu/1/nic"], [9 * 10**9, 50, 0], [10**12, 2 * 10**12, 3 * 10**12], [], [], [])


def test_what_transfers_took_and_hid_is_added_up_by_kind() -> None:
    totals = LiveTotals(layout_of(PREFILL, DECODE))
    for _ in range(2):  # counters go on from session to session
        totals.begin(RequestTable(), 1.0)
        for duration_ns, hidden_ns in ((200_000, 3_000_000), (5_000_000_000, 0)):
            done = TransferDone(1, TransferKind.KV_TRANSFER, Plane.RDMA, 10, 1000, duration_ns, hidden_ns)
            totals.before(10, done)
        totals.before(11, TransferFailed(2, TransferKind.CACHE_READ, Plane.UB))
        totals.end("completed")
    seen = totals[FabricTotals]
    kv_transfer, read, *_ = seen.transfer_s
    assert kv_transfer.counts == tuple(2 * (bound >= 0.0002) + 2 * (bound >= 5) for bound in (*TRANSFER_BOUNDS_S, 1e9))
    assert kv_transfer.sum_s == pytest.approx(2 * 5.0002)
    assert (seen.hidden_s[TransferKind.KV_TRANSFER], read.sum_s) == (pytest.approx(0.006), 0)
    assert dict(zip(FLOWS, seen.failed_transfers, strict=True))[Plane.UB, TransferKind.CACHE_READ] == 2
    assert sum(seen.failed_transfers) == 2


def test_parts_are_whole_when_a_session_begins() -> None:
    totals = LiveTotals(layout_of(PREFILL, DECODE))
    totals.begin(RequestTable(), 1.0)
    totals.before(5, BROKEN)
    assert totals[FabricTotals].failed_parts == ("l2/3/7", "npu/1/nic")
    assert status(totals.snapshot())["fabric"] == {
        "failed_parts": ["l2/3/7", "npu/1/nic"],
        "lost": {"ub": 0.009, "rdma": 2.5e-11, "vpc": 0.0},
        "failed_transfers": 0,
    }
    totals.begin(RequestTable(), 1.0)
    assert totals[FabricTotals].failed_parts == ()
    assert totals[FabricTotals].lost_bytes_per_s == (0, 0, 0)


SECOND = 1_000_000_000
READ, WRITE, KV_TRANSFER = TransferKind.CACHE_READ, TransferKind.CACHE_WRITE, TransferKind.KV_TRANSFER


def collected(*messages: object, end_ns: int = 10 * SECOND) -> Collector:
    """A collector that was shown these, and the end of the run."""
    collector = Collector(RequestTable(), [])
    for message in (*messages, RunEnded(interrupted=False)):
        collector.before(end_ns, message)
    return collector


def done(
    kind: TransferKind, plane: Plane, num_bytes: int, at_s: float, took_s: float = 0.5, hid_s: float = 0.0
) -> object:
    """A transfer that ended."""
    times = (round(at_s * SECOND), num_bytes, round(took_s * SECOND), round(hid_s * SECOND))
    return TransferDone(0, kind, plane, *times)


@given(
    changes=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 7)), max_size=8).map(sorted),
    ended_ns=st.integers(1, 50),
)
def test_availability_is_that_of_brute_force(changes: list[tuple[int, int]], ended_ns: int) -> None:
    there = 0
    for now_ns in range(ended_ns):
        lost = 0
        for time_ns, gone in changes:
            lost = gone if time_ns <= now_ns else lost
        there += 7 - lost
    found = availability([(time_ns, float(gone)) for time_ns, gone in changes], 7.0, ended_ns)
    assert found == pytest.approx(there / 7 / ended_ns)


def test_a_run_of_no_time_or_on_no_capacity_has_no_availability() -> None:
    assert availability([(0, 1.0)], 7.0, 0) is availability([], 0.0, 5) is None
    assert availability([], 7.0, 5) == 1


def test_each_transfer_leaves_one_class_of_links_and_arrives_at_another() -> None:
    collector = collected(
        done(READ, Plane.UB, 100, 2.0),
        done(WRITE, Plane.UB, 30, 3.0),
        done(KV_TRANSFER, Plane.RDMA, 900, 4.0, hid_s=1.5),
        done(READ, Plane.VPC, 7, 5.0),
        done(WRITE, Plane.VPC, 8, 5.0),
    )
    use = fabric_use(collector, FabricCapacity({Plane.UB: 1000.0, Plane.RDMA: 90.0, Plane.VPC: 15.0}, 50.0))
    moved = {
        (name, links): one.bytes
        for name, plane in (("ub", use.ub), ("rdma", use.rdma), ("vpc", use.vpc))
        for links, one in plane.links.items()
    }
    assert moved == {
        ("ub", "npu_out"): 30,
        ("ub", "npu_in"): 100,
        ("ub", "pool_out"): 100,
        ("ub", "pool_in"): 30,
        ("rdma", "npu_out"): 900,
        ("rdma", "npu_in"): 900,
        ("vpc", "card_out"): 15,
        ("vpc", "card_in"): 15,
    }
    for plane in (use.ub, use.rdma, use.vpc):  # conservation
        out, into = ([one.bytes for name, one in plane.links.items() if name.endswith(end)] for end in ("_out", "_in"))
        assert sum(out) == sum(into) == plane.bytes
    assert use.ub.utilization_mean == pytest.approx(0.013)
    assert use.ub.links["pool_out"].utilization_mean == pytest.approx(0.2)
    assert use.ub.links["pool_out"].utilization_peak == pytest.approx(2.0)
    assert (use.rdma.exposed_s, use.rdma.hidden_s) == (0.5, 1.5)


def test_failures_count_by_plane() -> None:
    lost = PartsChanged(4 * SECOND, ["leaf/0"], [0, 30, 0], [1000, 90, 15], [], [], [])
    mended = PartsChanged(7 * SECOND, [], [0, 0, 0], [1000, 90, 15], [], [], [])
    collector = collected(TransferFailed(0, KV_TRANSFER, Plane.RDMA), lost, mended)
    use = fabric_use(collector, FabricCapacity({Plane.UB: 1000.0, Plane.RDMA: 90.0}))
    assert (use.rdma.failed_transfers, use.ub.failed_transfers) == (1, 0)
    assert (use.rdma.availability, use.ub.availability, use.vpc.availability) == (pytest.approx(0.9), 1, None)
    assert collector.failed_parts == []
