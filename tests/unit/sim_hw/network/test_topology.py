"""What is reached and what is lost when parts of CloudMatrix384 fail."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim_hw.clusters.cloudmatrix import CLOUDMATRIX384
from sim_hw.network.topologies import build_topology
from sim_hw.network.topology import Topology
from sim_hw.planes import Plane
from tests.unit.sim_hw.network.reach import alive, bytes_per_s, reached_from

SUB_PLANES = [f"ub/{plane}" for plane in range(7)]


@cache
def cloudmatrix() -> Topology:
    return build_topology(CLOUDMATRIX384)


def npus(devices: set[str]) -> set[str]:
    return {device.split("/")[1] for device in devices if device.startswith("npu/")}


@pytest.mark.parametrize("sub_plane", SUB_PLANES)
def test_all_npus_are_reached_without_any_one_sub_plane(sub_plane: str) -> None:
    reached = reached_from(cloudmatrix(), Plane.UB, "npu/17/1", [sub_plane])
    assert len(npus(reached)) == 384
    assert sum(device.startswith("node/") for device in reached) == 192


def test_no_npu_of_another_node_is_reached_without_all_second_levels() -> None:
    topology = cloudmatrix()
    chips = [f"l2/{plane}/{chip}" for plane in range(7) for chip in range(16)]
    # Nodes have eight NPUs: 16 to 23 stand in node 2 with 17.
    assert npus(reached_from(topology, Plane.UB, "npu/17/0", chips)) == {str(npu) for npu in range(16, 24)}
    assert reached_from(topology, Plane.UB, "npu/17/0", SUB_PLANES) == set()
    assert len(npus(reached_from(topology, Plane.RDMA, "npu/17/0", SUB_PLANES))) == 384


def test_traffic_does_not_go_up_a_second_time() -> None:
    # Node 0 keeps one link up, to chip 0; node 1 keeps all but that chip: only a detour through node 2 would join them.
    cut = [f"ub/0/{plane}/{pair}" for plane in range(7) for pair in range(8) if (plane, pair) != (0, 0)]
    cut += ["ub/1/0/0"]
    reached = npus(reached_from(cloudmatrix(), Plane.UB, "npu/0/0", cut))
    assert len(reached) == 384 - 8
    assert not reached & {str(npu) for npu in range(8, 16)}


def test_without_its_adapter_an_npu_is_off_the_scale_out_plane_only() -> None:
    topology = cloudmatrix()
    assert reached_from(topology, Plane.RDMA, "npu/17/0", ["npu/17/rdma/0"]) == {
        "npu/17/0",
        "npu/17/1",
        "npu/17/nic",
    }
    assert "npu/17/0" not in reached_from(topology, Plane.RDMA, "npu/0/0", ["npu/17/nic"])
    assert len(npus(reached_from(topology, Plane.UB, "npu/17/0", ["npu/17/nic"]))) == 384
    assert "node/5/vpc" not in reached_from(topology, Plane.VPC, "node/4/vpc", ["node/5/vpc"])


@pytest.mark.parametrize(
    ("part", "plane", "gigabytes_per_s"),
    [
        ("l2/3/07", Plane.UB, 48 * 28),
        ("l1/12/3", Plane.UB, 16 * 28 + 16 * 28 + 4 * 160 / 7),
        ("ub/3", Plane.UB, 48 * (16 * 28 + 16 * 28 + 4 * 160 / 7)),
        ("ub/12/3/5", Plane.UB, 2 * 28),
        ("ub/12/3/5/1", Plane.UB, 2 * 28),
        ("npu/17/1/ub/6", Plane.UB, 28),
        ("npu/17/nic", Plane.RDMA, 2 * 25 + 50),
        ("npu/17/rdma/1", Plane.RDMA, 50),
        ("npu/17/rdma/1/0", Plane.RDMA, 50),
        ("leaf/2", Plane.RDMA, 2 * 32 * 50),
        ("node/5/vpc", Plane.VPC, 50),
    ],
)
def test_a_part_takes_what_it_carries(part: str, plane: Plane, gigabytes_per_s: float) -> None:
    lost = cloudmatrix().lost_bytes_per_s([part])
    assert lost.pop(plane) == pytest.approx(gigabytes_per_s * 1e9)
    assert not any(lost.values())


def test_one_second_level_chip_of_112_takes_its_share_of_every_node() -> None:
    topology = cloudmatrix()
    for node in (0, 47):
        up = bytes_per_s(topology, Plane.UB, f"l1/{node}/", "l2/")
        assert up == pytest.approx(8 * 392e9)
        assert bytes_per_s(topology, Plane.UB, f"l1/{node}/", "l2/", ["l2/3/7"]) == pytest.approx(up * 111 / 112)


@settings(max_examples=25)
@given(
    st.lists(st.sampled_from(["l2/3/7", "ub/3", "ub/12/3/3", "ub/12/3/3/0", "l1/12/3", "npu/96/0/ub/3"]), max_size=4)
)
def test_parts_that_overlap_count_once(failed: list[str]) -> None:
    topology = cloudmatrix()
    kept = sum(link.bytes_per_s for link in alive(topology, failed))
    lost = topology.lost_bytes_per_s(failed)
    assert kept + sum(lost.values()) == pytest.approx(sum(link.bytes_per_s for link in topology.links))


@pytest.mark.parametrize("part", ["", "l2/3/16", "l2", "switch/1", "npu/384/nic", "ub/7", "ub/1/2/8", "l2/-1/0"])
def test_an_unknown_part_names_near_ones(part: str) -> None:
    with pytest.raises(LookupError, match=r"cloudmatrix384 has no part .*; did you mean \S+"):
        cloudmatrix().carried_by(part)
