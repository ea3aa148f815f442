"""The links of a plan are those of its dies, nodes and cache servers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from deploy.system.fabric import FabricPlan, Placed
from scheduler.protocol.component import Outputs
from scheduler.protocol.fabric_messages import Plane, TransferKind
from scheduler.protocol.messages import PoolServersChanged, StartTransfer, TransferDone, TransferFailed
from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from workers.fabric.fabric import Fabric

GB = 10**9


def of(plan: FabricPlan, kind: TransferKind, plane: Plane, source: str, destination: str) -> tuple[list[int], int, int]:
    """Gigabytes a second of the links, and of all streams together on the line and of data."""
    profile, capacities = plan.profiles[kind, plane, source, destination], plan.config(1, 1).capacities_bytes_per_s()
    links = [capacities[link] // GB for link in profile.links]
    streams = profile.num_streams
    return links, streams * profile.line_rate_bytes_per_s // GB, streams * profile.data_bytes_per_s // GB


def plan_of(num_servers: int, plane: Plane = Plane.UB) -> FabricPlan:
    prefill, decode = [Placed("p0", 16), Placed("p1", 8)], [Placed("d0", 160), Placed("d1", 4)]
    return FabricPlan(CLOUDMATRIX384, prefill, decode, [num_servers], plane)


def test_hand_over_goes_over_a_line_of_each_die() -> None:
    plan = plan_of(0)
    kv_transfer, capacities = plan.kv_transfer, plan.config(1, 1).capacities_bytes_per_s()
    assert not plan.profiles
    ends = {**kv_transfer.sources, **kv_transfer.destinations}
    assert {address: len(links) for address, links in ends.items()} == {"p0": 32, "p1": 16, "d0": 320, "d1": 8}
    # Each has its own, of the die of that number, at the line rate of a stream.
    assert [link for links in ends.values() for link in links] == list(range(len(plan.links)))
    assert [group.numbers for group in plan.links] == [range(die, die + 1) for die in range(376)]
    assert set(capacities) == {kv_transfer.line_rate_bytes_per_s} == {25 * GB}


def test_a_broken_adapter_takes_the_lines_of_its_two_dies() -> None:
    plan = plan_of(48)
    whole, left = (plan.config(1, 1).capacities_bytes_per_s(failed) for failed in ((), ["npu/17/nic"]))
    lost = [link for link, (before, after) in enumerate(zip(whole, left, strict=True)) if before != after]
    assert lost == [34, 35]
    assert [left[link] for link in lost] == [0, 0]
    with pytest.raises(LookupError, match="did you mean"):
        plan.config(1, 1).capacities_bytes_per_s(["npu/384/nic"])


def test_the_pool_is_read_and_written_at_the_measured_rates_of_a_die() -> None:
    plan = plan_of(48)
    assert of(plan, TransferKind.CACHE_READ, Plane.UB, "cache", "p0") == ([48 * 640, 32 * 196], 32 * 196, 32 * 147)
    assert of(plan, TransferKind.CACHE_WRITE, Plane.UB, "p1", "cache") == ([16 * 196, 48 * 640], 16 * 196, 16 * 107)


def test_the_lines_of_a_cache_server_leave_and_come_back_with_it() -> None:
    plan = plan_of(4, Plane.VPC)
    fabric = Fabric(plan.config(50 * 10**9, 1))  # a token is what a node's line carries in a second
    read = StartTransfer(0, TransferKind.CACHE_READ, Plane.VPC, "cache", "p0", [1], [], True)

    def read_s(number: int, up: list[int]) -> float:
        start_ns = number * 100 * GB
        assert not fabric.handle(start_ns, PoolServersChanged("cache", up))
        fabric.handle(start_ns, replace(read, transfer_id=number))
        told: Outputs = ()
        while not told:
            told = fabric.wake(fabric.deadline_ns)
        done = told[0][1]
        assert isinstance(done, TransferDone)
        return round(done.duration_ns / 1e9, 2)

    # The instance lies on two nodes: two servers serve it as well as four, and one half as fast.
    assert [read_s(i, up) for i, up in enumerate([[0, 1, 2, 3], [0, 3], [2], [0, 1, 2]])] == [0.5, 0.5, 1.0, 0.5]
    start_ns = 500 * GB
    fabric.handle(start_ns, replace(read, transfer_id=5))
    ((_, failed),) = fabric.handle(start_ns, PoolServersChanged("cache", []))
    assert isinstance(failed, TransferFailed)
    ((_, failed),) = fabric.handle(start_ns, replace(read, transfer_id=6))
    assert isinstance(failed, TransferFailed)


def test_a_fleet_crosses_from_one_supernode_to_the_other_and_reads_its_own_pool() -> None:
    prefill, decode = [Placed("p0", 16, 0), Placed("p1", 16, 1)], [Placed("d0", 160, 1)]
    plan = FabricPlan(CLOUDMATRIX384, prefill, decode, [48, 4], Plane.UB, oversubscription=4)
    capacities, kv_transfer = plan.config(1, 1).capacities_bytes_per_s(), plan.kv_transfer
    assert set(plan.profiles) == {
        key
        for i in (0, 1)
        for key in (
            (TransferKind.CACHE_READ, Plane.UB, f"cache-{i}", f"p{i}"),
            (TransferKind.CACHE_WRITE, Plane.UB, f"p{i}", f"cache-{i}"),
        )
    }
    assert of(plan, TransferKind.CACHE_READ, Plane.UB, "cache-1", "p1")[0] == [4 * 640, 32 * 196]
    assert kv_transfer.between("p1", "d0") == ()
    assert [capacities[link] for link in kv_transfer.between("p0", "d0")] == [768 * 25 * GB // 4] * 2
    # The first die of the second supernode is numbered after all of the first's.
    assert plan.links[kv_transfer.sources["p1"][0]].numbers == range(768, 769)
    broken = plan.config(1, 1).capacities_bytes_per_s(["sn/1/npu/0/nic"])
    assert [broken[link] for link in kv_transfer.sources["p1"][:3]] == [0, 0, 25 * GB]
    assert {broken[link] for link in kv_transfer.sources["p0"]} == {25 * GB}
    for part in ("npu/0/nic", "sn/2/npu/0/nic", "sn/x/npu/0/nic", "sn/1"):
        with pytest.raises(LookupError, match="write sn/N/ before it, N from 0 to 1"):
            plan.config(1, 1).capacities_bytes_per_s([part])


@pytest.mark.parametrize("num_servers", [1, 48])
def test_on_vpc_a_node_has_one_line(num_servers: int) -> None:
    plan = plan_of(num_servers, Plane.VPC)
    assert of(plan, TransferKind.CACHE_READ, Plane.VPC, "cache", "p0") == ([num_servers * 50, 100], 100, 100)
    assert of(plan, TransferKind.CACHE_WRITE, Plane.VPC, "p1", "cache") == ([50, num_servers * 50], 50, 50)


@pytest.mark.parametrize(
    ("kind", "plane", "ends", "bytes_per_ns", "latency_ns"),
    [
        # One NPU has two dies, or an eighth of its node's VPC line.
        (TransferKind.CACHE_READ, Plane.UB, ("cache", "p0"), 2 * 147, 1_700),
        (TransferKind.CACHE_WRITE, Plane.UB, ("p0", "cache"), 2 * 107, 1_900),
        (TransferKind.CACHE_READ, Plane.VPC, ("cache", "p0"), 50 / 8, 50_000),
        (TransferKind.KV_TRANSFER, Plane.RDMA, ("p0", "d0"), 25, 5_000),
    ],
)
def test_alone_transfers_take_the_published_bandwidth_and_latency(
    kind: TransferKind, plane: Plane, ends: tuple[str, str], bytes_per_ns: float, latency_ns: int
) -> None:
    cache_plane = Plane.UB if plane is Plane.RDMA else plane
    plan = FabricPlan(CLOUDMATRIX384, [Placed("p0", 1)], [Placed("d0", 1)], [48], cache_plane)
    fabric = Fabric(plan.config(kv_bytes_per_token=1, num_layers=1))
    num_bytes = 1_000_000 * round(8 * bytes_per_ns) // 8
    dies = [1] if kind is TransferKind.KV_TRANSFER else []
    fabric.handle(7, StartTransfer(0, kind, plane, *ends, [num_bytes], dies, True))
    if kind is TransferKind.CACHE_WRITE:  # nobody waits for it: told with the next one
        back = TransferKind.CACHE_READ, plane, ends[1], ends[0]
        fabric.handle(7, StartTransfer(1, *back, [2 * num_bytes], [], True))
    done = [said for _, said in fabric.wake(fabric.deadline_ns) if isinstance(said, TransferDone)]
    (one,) = [said for said in done if said.transfer_id == 0]
    assert one.duration_ns == pytest.approx(1_000_000 + latency_ns, abs=2)
