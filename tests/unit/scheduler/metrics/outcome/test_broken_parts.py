"""What broke in a run is told by kind, with how long it stayed so and what planes lost: against counts by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.metrics.outcome.broken_parts import BrokenKind, broken_parts
from scheduler.protocol.fabric_messages import Plane
from tests.unit.scheduler.metrics.logged import SECOND

CAPACITY = {Plane.UB: 1000.0, Plane.RDMA: 100.0, Plane.VPC: 0.0}


def lost(*, ub: float = 0.0, rdma: float = 0.0) -> list[float]:
    """Bytes per second lost by plane, in the order of the enumeration."""
    return [{Plane.UB: ub, Plane.RDMA: rdma}.get(plane, 0.0) for plane in Plane]


def test_nothing_broke() -> None:
    assert broken_parts([], [], CAPACITY, 10 * SECOND) is None
    late = [(11 * SECOND, ["l2/3/7"])]
    assert broken_parts(late, [(11 * SECOND, lost(ub=5))], CAPACITY, 10 * SECOND) is None


def test_by_hand() -> None:
    changes = [
        (1 * SECOND, ["l2/3/7"]),
        (2 * SECOND, ["l2/3/7", "npu/17/nic"]),
        (3 * SECOND, ["npu/17/nic"]),
        (5 * SECOND, []),
        (6 * SECOND, ["l2/3/7"]),
    ]
    losses = [(at_ns, lost(ub=90 if "l2/3/7" in parts else 0, rdma=len(parts))) for at_ns, parts in changes]
    found = broken_parts(changes, losses, CAPACITY, 10 * SECOND)
    assert found is not None
    assert found.by_kind == {"l2": BrokenKind(1, 2, 6.0, 4.0, 1), "nic": BrokenKind(1, 1, 3.0, 3.0, 0)}
    assert {plane: (one.mean, one.worst, one.lost_s) for plane, one in found.lost.items()} == {
        "ub": (pytest.approx(90 * 6 / 10_000), 0.09, 6.0),
        "rdma": (pytest.approx((1 + 2 + 1 + 1 + 4) / 1000), 0.02, 8.0),
    }


@given(
    st.lists(st.tuples(st.integers(0, 20), st.sets(st.sampled_from(["leaf/1", "leaf/2", "spine/0"]))), max_size=8).map(
        lambda changes: sorted(changes, key=lambda change: change[0])
    )
)
def test_the_sum_over_parts_is_what_counting_each_second_finds(changes: list[tuple[int, set[str]]]) -> None:
    end_s = 15
    told = [(at_s * SECOND, sorted(parts)) for at_s, parts in changes]
    found = broken_parts(told, [(at_ns, lost()) for at_ns, _ in told], CAPACITY, end_s * SECOND)
    by_second = [next((parts for at_s, parts in reversed(changes) if at_s <= now), set[str]()) for now in range(end_s)]
    total_s = 0.0 if found is None else sum(one.broken_s for one in found.by_kind.values())
    assert total_s == sum(map(len, by_second))
