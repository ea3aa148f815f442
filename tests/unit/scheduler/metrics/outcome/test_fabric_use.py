"""What the planes of a run come to: against brute force, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.core.request_table import RequestTable
from scheduler.metrics.outcome.collector import Collector
from scheduler.metrics.outcome.fabric_use import FabricCapacity, availability, fabric_use
from scheduler.protocol.messages import (
    PartsChanged,
    Plane,
    RunEnded,
    TransferDone,
    TransferFailed,
    TransferKind,
)

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
    collector = collected(TransferFailed(0, KV_TRANSFER, Plane.RDMA, 4 * SECOND), lost, mended)
    use = fabric_use(collector, FabricCapacity({Plane.UB: 1000.0, Plane.RDMA: 90.0}))
    assert (use.rdma.failed_transfers, use.ub.failed_transfers) == (1, 0)
    assert (use.rdma.availability, use.ub.availability, use.vpc.availability) == (pytest.approx(0.9), 1, None)
    assert collector.failed_parts == []
