"""The links of a plan are those of its dies, nodes and cache servers."""

from __future__ import annotations

import pytest

from deploy.fabric_config import FabricPlan
from scheduler.protocol.messages import Plane, TransferKind
from sim_hw.hardware.supernodes import CLOUDMATRIX384

GB = 10**9


def of(plan: FabricPlan, kind: TransferKind, plane: Plane, source: str, destination: str) -> tuple[list[int], int, int]:
    """Gigabytes a second of the links, and of all streams together on the line and of data."""
    channel = plan.channels[kind, plane, source, destination]
    streams = channel.num_streams or 1
    links = [plan.capacities_bytes_per_s[link] // GB for link in channel.links]
    return links, streams * channel.line_bytes_per_s // GB, streams * channel.data_bytes_per_s // GB


def plan_of(num_servers: int, plane: Plane = Plane.UB) -> FabricPlan:
    return FabricPlan(CLOUDMATRIX384, [("p0", 16), ("p1", 8)], [("d0", 160), ("d1", 4)], num_servers, plane)


def test_hand_over_goes_from_all_dies_to_all_dies_one_of_each_for_a_request() -> None:
    plan = plan_of(0)
    assert set(plan.channels) == {
        (TransferKind.HAND_OVER, Plane.RDMA, source, to) for source in ("p0", "p1") for to in ("d0", "d1")
    }
    assert of(plan, TransferKind.HAND_OVER, Plane.RDMA, "p0", "d0") == ([32 * 25, 320 * 25], 25, 25)
    assert of(plan, TransferKind.HAND_OVER, Plane.RDMA, "p1", "d1") == ([16 * 25, 8 * 25], 25, 25)


def test_the_pool_is_read_and_written_at_the_measured_rates_of_a_die() -> None:
    plan = plan_of(48)
    assert of(plan, TransferKind.CACHE_READ, Plane.UB, "cache", "p0") == ([48 * 640, 32 * 196], 32 * 196, 32 * 147)
    assert of(plan, TransferKind.CACHE_WRITE, Plane.UB, "p1", "cache") == ([16 * 196, 48 * 640], 16 * 196, 16 * 107)


@pytest.mark.parametrize("num_servers", [1, 48])
def test_on_vpc_a_node_has_one_line(num_servers: int) -> None:
    plan = plan_of(num_servers, Plane.VPC)
    assert of(plan, TransferKind.CACHE_READ, Plane.VPC, "cache", "p0") == ([num_servers * 50, 100], 100, 100)
    assert of(plan, TransferKind.CACHE_WRITE, Plane.VPC, "p1", "cache") == ([50, num_servers * 50], 50, 50)
